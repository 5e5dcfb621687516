import { LIMITS } from '../shared/limits.ts'
import { invalidRequest } from './field-problems.ts'

/** What a request's headers say about how it wants to be served. */

/** RFC 7240 `Prefer: respond-async`. */
export function prefersAsync(headers: Headers): boolean {
  return (headers.get('prefer') ?? '')
    .split(/[,;]/)
    .some((preference) => preference.trim().toLowerCase() === 'respond-async')
}

const CANCEL_AFTER = /^(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?$/
const CANCEL_AFTER_PERMITTED = `a time from ${LIMITS.cancelAfterMs.min / 1000} s to ${LIMITS.cancelAfterMs.max / 1000} s, such as 30, 30s or 1m30s`

/**
 * `Cancel-After`, as Replicate has it: seconds, or hours, minutes and seconds with their letters.
 *
 * @returns milliseconds, or undefined without the header
 * @throws AppError `invalid_request`
 */
export function cancelAfterMs(headers: Headers): number | undefined {
  const text = headers.get('cancel-after')?.trim()
  if (text === undefined) return undefined
  const [whole = '', hours = '0', minutes = '0', seconds = '0'] = CANCEL_AFTER.exec(text) ?? []
  const ms = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000
  const { min, max } = LIMITS.cancelAfterMs
  if (whole === '' || ms < min || ms > max) throw wrongHeader('Cancel-After', text, CANCEL_AFTER_PERMITTED)
  return ms
}

const { min: KEY_MIN, max: KEY_MAX } = LIMITS.idempotencyKeyChars
const IDEMPOTENCY_KEY_PERMITTED = `${KEY_MIN} to ${KEY_MAX} printable ASCII characters`

/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a structured string, in quotes; the bare form that most
 * clients send means the same.
 *
 * @throws AppError `invalid_request`
 */
export function idempotencyKey(headers: Headers): string | undefined {
  const text = headers.get('idempotency-key')?.trim()
  if (text === undefined) return undefined
  const key = /^"(.*)"$/.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1') ?? text
  if (key.length < KEY_MIN || key.length > KEY_MAX || !/^[\x20-\x7e]+$/.test(key)) {
    throw wrongHeader('Idempotency-Key', text, IDEMPOTENCY_KEY_PERMITTED)
  }
  return key
}

function wrongHeader(field: string, text: string, permitted: string) {
  return invalidRequest([{ field, problem: `is the string ${JSON.stringify(text.slice(0, 80))}`, permitted }])
}
