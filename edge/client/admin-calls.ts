import type { ApiKey, CreatedApiKey, TenantAccount } from '../../shared/api-key.ts'
import { tenantBudgetRoute, tenantKeyRoute, tenantKeysRoute, tenantRoute } from '../../shared/routes.ts'
import type { BudgetRequest, KeyRequest } from '../admin-schema.ts'
import type { CallOptions, Transport } from './transport.ts'

/** The operator's routes about tenants, their keys and budgets. */
export class AdminCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The one answer that holds the key itself. */
  createKey(tenant: string, request: KeyRequest, options: CallOptions = {}): Promise<CreatedApiKey> {
    const path = tenantKeysRoute(tenant)
    return this.#transport.json('CreatedApiKey', { method: 'POST', path, body: request, ...options })
  }

  revokeKey(tenant: string, keyId: string, options: CallOptions = {}): Promise<ApiKey> {
    return this.#transport.json('ApiKey', { method: 'DELETE', path: tenantKeyRoute(tenant, keyId), ...options })
  }

  account(tenant: string, options: CallOptions = {}): Promise<TenantAccount> {
    return this.#transport.json('TenantAccount', { method: 'GET', path: tenantRoute(tenant), ...options })
  }

  setBudget(tenant: string, request: BudgetRequest, options: CallOptions = {}): Promise<TenantAccount> {
    const path = tenantBudgetRoute(tenant)
    return this.#transport.json('TenantAccount', { method: 'PUT', path, body: request, ...options })
  }

  removeBudget(tenant: string, options: CallOptions = {}): Promise<TenantAccount> {
    return this.#transport.json('TenantAccount', { method: 'DELETE', path: tenantBudgetRoute(tenant), ...options })
  }
}
