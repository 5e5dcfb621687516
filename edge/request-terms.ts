import type { Labels } from '../shared/job-record.ts'
import { LIMITS } from '../shared/limits.ts'
import { invalidRequest } from './field-problems.ts'
import type { Reuse } from './objects/job-store.ts'
import type { JobOptions } from './request-schema.ts'

/** How a request wants to be served: what its headers say, and those of its options that do not change the picture. */

/** What belongs to the request rather than to the picture. */
export interface RequestTerms {
  labels: Labels
  /** Milliseconds from now after which the caller gives up by itself. */
  cancelAfterMs: number | undefined
  /** Whom to tell of the end; a target that was found permitted. */
  webhook: string | undefined
  /** Keep the picture among the tenant's own. */
  isPrivate: boolean
  reuse: Reuse
  /** Fewer candidates rather than a refusal. */
  mayDegrade: boolean
}

/** @throws AppError `invalid_request` naming the header at fault */
export function requestTerms(options: JobOptions, headers: Headers): RequestTerms {
  const { labels = {}, webhook, private: isPrivate = false, mayDegrade = false } = options
  return { labels, mayDegrade, webhook, isPrivate, cancelAfterMs: cancelAfterMs(headers), reuse: reuseOf(headers) }
}

const TERM_HEADERS = ['cache-control', 'cancel-after', 'idempotency-key', 'prefer']

/** Whether a request says in its headers how it wants to be served. */
export function hasTerms(headers: Headers): boolean {
  return TERM_HEADERS.some((name) => headers.has(name))
}

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
function cancelAfterMs(headers: Headers): number | undefined {
  const text = headers.get('cancel-after')?.trim()
  if (text === undefined) return undefined
  const [whole = '', hours = '0', minutes = '0', seconds = '0'] = CANCEL_AFTER.exec(text) ?? []
  const ms = (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1000
  const { min, max } = LIMITS.cancelAfterMs
  if (whole === '' || ms < min || ms > max) throw wrongHeader('Cancel-After', text, CANCEL_AFTER_PERMITTED)
  return ms
}

/**
 * The directives of a request's Cache-Control (RFC 9111, 5.2.1) that mean something here; unknown ones are ignored, as the
 * standard asks.
 */
function reuseOf(headers: Headers): Reuse {
  const directives = new Map<string, string>()
  for (const directive of (headers.get('cache-control') ?? '').split(',')) {
    const [name = '', value = ''] = directive.trim().toLowerCase().split('=')
    directives.set(name, value.replaceAll('"', ''))
  }
  if (directives.has('no-store')) return { mode: 'none' }
  if (directives.has('only-if-cached')) return { mode: 'only' }
  const maxAge = directives.get('max-age') ?? ''
  if (directives.has('no-cache')) return { mode: 'fresh', maxAgeMs: -1 }
  return /^\d{1,9}$/.test(maxAge) ? { mode: 'fresh', maxAgeMs: Number(maxAge) * 1000 } : { mode: 'any' }
}

const { min: KEY_MIN, max: KEY_MAX } = LIMITS.idempotencyKeyChars
const IDEMPOTENCY_KEY_PERMITTED = `${KEY_MIN} to ${KEY_MAX} printable ASCII characters, in quotes or not beginning with one`
/** Of the whole header: bare, or a structured string. */
export const IDEMPOTENCY_KEY_PATTERN = `^[!#-~]([ -~]{0,${KEY_MAX - 2}}[!-~])?$|^"([ !#-\\[\\]-~]|\\\\["\\\\]){${KEY_MIN},${KEY_MAX}}"$`
const IDEMPOTENCY_KEY = new RegExp(IDEMPOTENCY_KEY_PATTERN)
/** In the document; other ways to write the same times are taken, too. */
export const CANCEL_AFTER_PATTERN = '^([1-9][0-9]?|[1-5][0-9]{2}|600)s?$|^[1-9]m([1-5]?[0-9]s)?$'

/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a structured string, in quotes; the bare form that most
 * clients send means the same.
 *
 * @throws AppError `invalid_request`
 */
export function idempotencyKey(headers: Headers): string | undefined {
  const text = headers.get('idempotency-key')?.trim()
  if (text === undefined) return undefined
  if (!IDEMPOTENCY_KEY.test(text)) throw wrongHeader('Idempotency-Key', text, IDEMPOTENCY_KEY_PERMITTED)
  return /^"(.*)"$/.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1') ?? text
}

function wrongHeader(field: string, text: string, permitted: string) {
  return invalidRequest([{ field, problem: `is the string ${JSON.stringify(text.slice(0, 80))}`, permitted }])
}
