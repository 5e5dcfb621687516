import { AppError } from '../shared/error-code.ts'
import type { Refusal } from './objects/tenant.ts'

/** Errors lose their class on the way out of a Durable Object, so refusals travel as plain values and become errors here. */
export function refusalError({ code, message, retryAfterMs }: Refusal): AppError {
  return new AppError(code, message, { retryAfterMs })
}
