import { type Parameters, serializeList, Token } from 'structured-headers'
import type { CacheOutcome } from '../shared/job-record.ts'

const CACHE_NAME = 'parm-edge'

/**
 * The `Cache-Status` header (RFC 9211).
 *
 * @param stored  whether the answer is now kept for repeats
 */
export function cacheStatus(outcome: CacheOutcome, stored: boolean): string {
  const parameters: Parameters = new Map()
  if (outcome === 'hit') parameters.set('hit', true)
  else {
    // RFC 9211, 2.2: `request` says that the request's own directives did not allow what may be there.
    parameters.set('fwd', new Token(outcome === 'bypass' ? 'request' : 'miss'))
    if (stored) parameters.set('stored', true)
    if (outcome === 'collapsed') parameters.set('collapsed', true)
  }
  return serializeList([[new Token(CACHE_NAME), parameters]])
}
