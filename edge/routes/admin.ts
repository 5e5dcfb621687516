import { type Context, Hono } from 'hono'
import { type ApiKey, type CreatedApiKey, KeyId, SCOPES, TenantName } from '../../shared/api-key.ts'
import { AppError } from '../../shared/error-code.ts'
import { LIMITS } from '../../shared/limits.ts'
import { BudgetRequest, KeyRequest } from '../admin-schema.ts'
import { apiKeyHash, newApiKey } from '../api-key.ts'
import type { AppEnv } from '../app-env.ts'
import { authenticateOperator } from '../auth.ts'
import { jobObjectName } from '../job-id.ts'
import type { Tenant } from '../objects/tenant.ts'
import { readJson } from '../request-body.ts'
import type { ErasedTenant } from '../response-schema.ts'

const DAY_MS = 86_400_000

/** `/admin/v1/tenants`: the operator's routes about keys and budgets. A key's secret is in the answer that creates it and nowhere else. */
export const admin = new Hono<AppEnv>()

admin.use(authenticateOperator())

admin.get('/:tenant', async (c) => {
  const { tenant, books } = tenantOf(c)
  const account = await books.account(tenant)
  if (!account) throw unknownTenant(tenant)
  return c.json(account)
})

admin.delete('/:tenant', async (c) => {
  const { tenant, books } = tenantOf(c)
  const open = await books.erase()
  if (open === undefined) throw unknownTenant(tenant)
  for (const id of open) await c.env.JOB.getByName(jobObjectName(id)).cancel(id, tenant)
  return c.json({ tenant, canceledJobs: open.length } satisfies ErasedTenant)
})

admin.put('/:tenant/budget', async (c) => {
  const { tenant, books } = tenantOf(c)
  const request = await readJson(c.req.raw, BudgetRequest, LIMITS.requestBodyBytes)
  const { rowSteps, windowSeconds = LIMITS.budgetWindowSeconds.default } = request
  return c.json(await books.setBudget(tenant, { rowSteps, windowSeconds }))
})

admin.delete('/:tenant/budget', async (c) => {
  const { tenant, books } = tenantOf(c)
  return c.json(await books.setBudget(tenant, undefined))
})

admin.post('/:tenant/keys', async (c) => {
  const { tenant, books } = tenantOf(c)
  const request = await readJson(c.req.raw, KeyRequest, LIMITS.requestBodyBytes)
  const { keyId, key } = newApiKey(tenant)
  const now = Date.now()
  const record: ApiKey = {
    id: keyId,
    tenant,
    scopes: [...new Set(request.scopes ?? SCOPES)],
    note: request.note ?? '',
    limits: {
      requests: request.requests ?? LIMITS.keyRequests.default,
      windowSeconds: request.windowSeconds ?? LIMITS.keyWindowSeconds.default,
      concurrentJobs: request.concurrentJobs ?? LIMITS.keyConcurrentJobs.default,
    },
    createdAt: now,
    ...(request.expiresInDays === undefined ? {} : { expiresAt: now + request.expiresInDays * DAY_MS }),
  }
  await books.addKey(record, await apiKeyHash(key))
  c.header('cache-control', 'no-store')
  return c.json({ ...record, key } satisfies CreatedApiKey, 201)
})

admin.delete('/:tenant/keys/:keyId', async (c) => {
  const { tenant, books } = tenantOf(c)
  const keyId = c.req.param('keyId')
  const revoked = KeyId.safeParse(keyId).success ? await books.revokeKey(keyId) : undefined
  if (!revoked) {
    throw new AppError('key_not_found', `Tenant ${tenant} has no key ${JSON.stringify(keyId.slice(0, 80))}`)
  }
  return c.json(revoked)
})

function tenantOf(c: Context<AppEnv>): { tenant: string; books: DurableObjectStub<Tenant> } {
  const tenant = c.req.param('tenant') ?? ''
  if (!TenantName.safeParse(tenant).success) throw unknownTenant(tenant)
  return { tenant, books: c.env.TENANT.getByName(tenant) }
}

function unknownTenant(tenant: string): AppError {
  const shown = JSON.stringify(tenant.slice(0, 100))
  return new AppError('tenant_not_found', `There is no tenant ${shown}; names have 1 to 100 of A-Z a-z 0-9 _ -`)
}
