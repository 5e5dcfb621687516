import * as z from 'zod'
import { LIMITS } from './limits.ts'

/** Contract of the operator's routes (`/admin/v1`): keys, their limits, and what a tenant may spend. */

/**
 * What a key opens. generate: ask for pictures, cancel own jobs. read: look at own jobs, their events and verdicts.
 */
export const SCOPES = ['generate', 'read'] as const
export type Scope = (typeof SCOPES)[number]

export const TenantName = z.string().regex(/^[A-Za-z0-9_-]{1,100}$/, 'expected 1 to 100 of A-Z a-z 0-9 _ -')
/** Public part of a key: names it in lists and in logs. */
export const KeyId = z.string().regex(/^[0-9a-f]{8}$/, 'expected 8 hexadecimal digits')

/** Milliseconds since the epoch. */
const Instant = z.int().positive()
const within = ({ min, max }: { min: number; max: number }) => z.int().min(min).max(max)

export const KeyLimits = z.strictObject({
  /**
   * Size of the token bucket; it refills evenly, `requests` every `windowSeconds`. Looking costs nothing, and of several pictures of
   * one call each counts that has to be made.
   */
  requests: within(LIMITS.keyRequests),
  windowSeconds: within(LIMITS.keyWindowSeconds),
  /** Jobs that requests with this key wait for, opened or joined, each once. Hits do not count: they add no work. */
  concurrentJobs: within(LIMITS.keyConcurrentJobs),
})
export type KeyLimits = z.infer<typeof KeyLimits>

/** A key without its secret, which is shown once and stored as a hash. */
export const ApiKey = z.strictObject({
  id: KeyId,
  tenant: TenantName,
  scopes: z.array(z.enum(SCOPES)).min(1),
  note: z.string().max(LIMITS.keyNoteChars),
  limits: KeyLimits,
  createdAt: Instant,
  /** From when on it opens nothing; absent: never. */
  expiresAt: Instant.optional(),
  /** Present once it opens nothing any more. */
  revokedAt: Instant.optional(),
})
export type ApiKey = z.infer<typeof ApiKey>

/** The answer that creates a key, and the only one that holds the key itself. */
export const CreatedApiKey = z.strictObject({ ...ApiKey.shape, key: z.string() })
export type CreatedApiKey = z.infer<typeof CreatedApiKey>

/** Row-steps that a tenant's new work may use in each window of time; windows start at multiples of their length. */
export const Budget = z.strictObject({
  rowSteps: within(LIMITS.budgetRowSteps),
  windowSeconds: within(LIMITS.budgetWindowSeconds),
})
export type Budget = z.infer<typeof Budget>

export const TenantAccount = z.strictObject({
  tenant: TenantName,
  /** Absent: no bound. */
  budget: Budget.optional(),
  /** Row-steps of ended jobs in the window under way, and their share held for jobs that have not ended. */
  spentRowSteps: z.int().min(0),
  reservedRowSteps: z.int().min(0),
  openJobs: z.int().min(0),
  keys: z.array(ApiKey),
})
export type TenantAccount = z.infer<typeof TenantAccount>

/** How an edge treats callers. open: anybody may call, as one tenant. keys: only holders of a key. */
export const ACCESS_MODES = ['open', 'keys'] as const
export type AccessMode = (typeof ACCESS_MODES)[number]
