/** Crockford's base 32, lower case: no i, l, o, u. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const TIME_CHARS = 10
const RANDOM_CHARS = 8

/**
 * A job id is `job_`, ten characters of time (so that ids sort by it, as ULIDs do), eight random ones that together name
 * the Durable Object doing the work, and eight random ones that name one request's ticket to it. Requests that joined the
 * same work therefore have different ids, lead to the same object without a look-up, and cannot guess one another.
 *
 * @param now  milliseconds since the epoch
 */
export const newJobId = (now: number): string => newId('job_', now)

/** Likewise of a request for scores; the prefix tells the two apart wherever an id goes. */
export const newScoreId = (now: number): string => newId('score_', now)

function newId(prefix: string, now: number): string {
  let time = ''
  let rest = now
  for (let index = 0; index < TIME_CHARS; index++) {
    time = ALPHABET[rest % 32] + time
    rest = Math.floor(rest / 32)
  }
  return prefix + time + randomChars() + randomChars()
}

/** @returns a new id for another ticket to the work of `id`. */
export function siblingJobId(id: string): string {
  return jobObjectName(id) + randomChars()
}

/** @returns the name of the Durable Object that `id` leads to. */
export function jobObjectName(id: string): string {
  return id.slice(0, id.indexOf('_') + 1 + TIME_CHARS + RANDOM_CHARS)
}

function randomChars(): string {
  let chars = ''
  for (const byte of crypto.getRandomValues(new Uint8Array(RANDOM_CHARS))) chars += ALPHABET[byte % 32]
  return chars
}
