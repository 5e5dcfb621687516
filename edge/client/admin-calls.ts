import type { ApiKey, CreatedApiKey, TenantAccount } from '../../shared/api-key.ts'
import {
  adminImageRoute,
  tenantBudgetRoute,
  tenantKeyRoute,
  tenantKeysRoute,
  tenantRoute,
} from '../../shared/routes.ts'
import type { BudgetRequest, KeyRequest } from '../admin-schema.ts'
import type { ErasedTenant, TakenDown } from '../response-schema.ts'
import { named } from './names.ts'
import type { CallOptions, Transport } from './transport.ts'

/** The operator's routes about tenants, their keys and budgets. */
export class AdminCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The one answer that holds the key itself. */
  async createKey(tenant: string, request: KeyRequest, options: CallOptions = {}): Promise<CreatedApiKey> {
    const path = tenantKeysRoute(named('tenant', tenant))
    return this.#transport.json('CreatedApiKey', { method: 'POST', path, body: request, ...options })
  }

  async revokeKey(tenant: string, keyId: string, options: CallOptions = {}): Promise<ApiKey> {
    const path = tenantKeyRoute(named('tenant', tenant), named('keyId', keyId))
    return this.#transport.json('ApiKey', { method: 'DELETE', path, ...options })
  }

  async account(tenant: string, options: CallOptions = {}): Promise<TenantAccount> {
    const path = tenantRoute(named('tenant', tenant))
    return this.#transport.json('TenantAccount', { method: 'GET', path, ...options })
  }

  /** Keys, budget, requests and their prompts; what is under way is given up. */
  async erase(tenant: string, options: CallOptions = {}): Promise<ErasedTenant> {
    const path = tenantRoute(named('tenant', tenant))
    return this.#transport.json('ErasedTenant', { method: 'DELETE', path, ...options })
  }

  /** Removes a picture, by its hash, and keeps it from being stored again. */
  async takeDown(sha256: string, options: CallOptions = {}): Promise<TakenDown> {
    const path = adminImageRoute(named('sha256', sha256))
    return this.#transport.json('TakenDown', { method: 'DELETE', path, ...options })
  }

  async setBudget(tenant: string, request: BudgetRequest, options: CallOptions = {}): Promise<TenantAccount> {
    const path = tenantBudgetRoute(named('tenant', tenant))
    return this.#transport.json('TenantAccount', { method: 'PUT', path, body: request, ...options })
  }

  async removeBudget(tenant: string, options: CallOptions = {}): Promise<TenantAccount> {
    const path = tenantBudgetRoute(named('tenant', tenant))
    return this.#transport.json('TenantAccount', { method: 'DELETE', path, ...options })
  }
}
