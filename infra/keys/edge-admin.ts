import type { z } from 'zod'
import {
  ApiKey,
  CreatedApiKey,
  TenantAccount,
  tenantBudgetRoute,
  tenantKeyRoute,
  tenantKeysRoute,
  tenantRoute,
} from '../../shared/api-key.ts'
import { AppError } from '../../shared/error-code.ts'

/** The operator's routes of one edge. Every refusal becomes an AppError in the edge's own words. */
export class EdgeAdmin {
  readonly #origin: string
  readonly #key: string

  /** @param origin  `https://api.example.com` */
  constructor(origin: string, key: string) {
    this.#origin = origin
    this.#key = key
  }

  createKey(tenant: string, request: object): Promise<CreatedApiKey> {
    return this.#call('POST', tenantKeysRoute(tenant), CreatedApiKey, request)
  }

  revokeKey(tenant: string, keyId: string): Promise<ApiKey> {
    return this.#call('DELETE', tenantKeyRoute(tenant, keyId), ApiKey)
  }

  account(tenant: string): Promise<TenantAccount> {
    return this.#call('GET', tenantRoute(tenant), TenantAccount)
  }

  setBudget(tenant: string, request: object): Promise<TenantAccount> {
    return this.#call('PUT', tenantBudgetRoute(tenant), TenantAccount, request)
  }

  removeBudget(tenant: string): Promise<TenantAccount> {
    return this.#call('DELETE', tenantBudgetRoute(tenant), TenantAccount)
  }

  async #call<S extends z.ZodType>(method: string, path: string, schema: S, body?: object): Promise<z.output<S>> {
    const address = this.#origin + path
    let response: Response
    try {
      response = await fetch(address, {
        method,
        headers: { authorization: `Bearer ${this.#key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
        ...(body ? { body: JSON.stringify(body) } : {}),
      })
    } catch (cause) {
      throw new AppError('service_unavailable', `the edge at ${this.#origin} cannot be reached`, { cause })
    }
    const answer: unknown = await response.json().catch(() => undefined)
    if (!response.ok) {
      const detail = (answer as { detail?: unknown } | undefined)?.detail
      const words = typeof detail === 'string' ? detail : 'without a reason'
      throw new AppError('invalid_request', `${method} ${address} was refused with ${response.status}: ${words}`)
    }
    const parsed = schema.safeParse(answer)
    if (!parsed.success) throw new AppError('service_unavailable', `${address} is no edge of this version`)
    return parsed.data
  }
}
