import { AppError } from '../../shared/error-code.ts'
import type { Break } from './breaks.ts'

/**
 * @param whole  text of the break's file
 * @returns      the same, broken
 * @throws AppError config_invalid  where the code has changed: what is to be replaced must stand there exactly once
 */
export function broken(whole: string, { what, file, from, to }: Break): string {
  const parts = whole.split(from)
  if (parts.length === 2) return parts.join(to)
  const found = `found ${parts.length - 1} times in ${file}; expected once`
  throw new AppError('config_invalid', `the break "${what}" fits the code no more: ${JSON.stringify(from)} is ${found}`)
}
