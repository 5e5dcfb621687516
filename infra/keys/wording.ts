import type { ApiKey, TenantAccount } from '../../shared/api-key.ts'

/** A tenant's account for a terminal, one key a line. */
export function accountLines({
  tenant,
  budget,
  spentRowSteps,
  reservedRowSteps,
  openJobs,
  keys,
}: TenantAccount): string[] {
  const bound = budget
    ? `${spentRowSteps} of ${budget.rowSteps} row-steps in ${budget.windowSeconds} s spent`
    : 'no budget'
  const held = `${openJobs} jobs under way, ${reservedRowSteps} row-steps held for them`
  return [`${tenant}: ${bound}; ${held}`, ...keys.map(keyLine)]
}

function keyLine({ id, scopes, note, limits, createdAt, expiresAt, revokedAt }: ApiKey): string {
  const { requests, windowSeconds, concurrentJobs } = limits
  const expiry = expiresAt === undefined ? '' : `  expires ${day(expiresAt)}`
  const state = revokedAt === undefined ? expiry : `  revoked ${day(revokedAt)}`
  const what = `${scopes.join(',')}  ${requests}/${windowSeconds} s  ${concurrentJobs} jobs`
  return `  ${id}  made ${day(createdAt)}  ${what}${state}${note === '' ? '' : `  ${note}`}`
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
