import { type Parameters, serializeList, Token } from 'structured-headers'
import type { JobResult } from '../shared/job.ts'
import type { CacheOutcome } from '../shared/job-record.ts'
import type { RequestTerms } from './request-terms.ts'

type WinReason = JobResult['reason']

const CACHE_NAME = 'parm-edge'

/** Whether repeats will be answered with it: the request may not want it kept, and a picture that ran out of time is its callers' only. */
export function isKept({ reuse }: RequestTerms, result: { reason?: WinReason } = {}): boolean {
  return reuse.mode !== 'none' && result.reason !== 'deadline'
}

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
