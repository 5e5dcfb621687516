import { type Item, type Parameters, serializeList } from 'structured-headers'
import type { Allowance } from './objects/tenant.ts'

/** Headers that a browser's script may read. */
export const RATE_LIMIT_HEADERS = [
  'ratelimit',
  'ratelimit-policy',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
]

/**
 * Where a key stands: as the IETF draft has it (draft-ietf-httpapi-ratelimit-headers: `q` quota, `w` window in seconds, `r`
 * remaining, `t` seconds to the next full quota) and as OpenAI's clients know it.
 */
export function rateLimitHeaders({ requests, concurrentJobs, budget }: Allowance): [name: string, value: string][] {
  const policies = [
    item('requests', { q: requests.quota, w: requests.windowSeconds }),
    item('jobs', { q: concurrentJobs.quota, qu: 'concurrent-requests' }),
  ]
  const limits = [
    item('requests', { r: requests.remaining, t: seconds(requests.fullInMs) }),
    item('jobs', { r: concurrentJobs.remaining }),
  ]
  if (budget) {
    policies.push(item('row-steps', { q: budget.quota, w: budget.windowSeconds, qu: 'row-steps' }))
    limits.push(item('row-steps', { r: budget.remaining, t: seconds(budget.resetMs) }))
  }
  return [
    ['ratelimit-policy', serializeList(policies)],
    ['ratelimit', serializeList(limits)],
    ['x-ratelimit-limit-requests', String(requests.quota)],
    ['x-ratelimit-remaining-requests', String(requests.remaining)],
    ['x-ratelimit-reset-requests', goDuration(requests.fullInMs)],
  ]
}

function item(name: string, values: Record<string, number | string>): Item {
  return [name, new Map(Object.entries(values)) as Parameters]
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}

/** OpenAI writes durations as Go does: `17ms`, `1.5s`, `6m0s`. */
function goDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`
  const minutes = Math.floor(ms / 60_000)
  const rest = `${(ms % 60_000) / 1000}s`
  return minutes === 0 ? rest : `${minutes}m${rest}`
}
