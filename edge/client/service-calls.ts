import type { Health, ModelList, Readiness, WebhookSecret } from '../response-schema.ts'
import type { CallOptions, Transport } from './transport.ts'

/** What the service says about itself. */
export class ServiceCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** @returns OpenAI's list; the first is the default model */
  models(options: CallOptions = {}): Promise<ModelList> {
    return this.#transport.json('ModelList', { method: 'GET', path: '/v1/models', ...options })
  }

  health(options: CallOptions = {}): Promise<Health> {
    return this.#transport.json('Health', { method: 'GET', path: '/healthz', ...options })
  }

  /** @throws ClientError service_unavailable  while it cannot take work */
  readiness(options: CallOptions = {}): Promise<Readiness> {
    return this.#transport.json('Readiness', { method: 'GET', path: '/readyz', ...options })
  }

  /** @returns Prometheus' text format */
  metrics(options: CallOptions = {}): Promise<string> {
    return this.#transport.text({ method: 'GET', path: '/metrics', ...options })
  }

  webhookSecret(options: CallOptions = {}): Promise<WebhookSecret> {
    return this.#transport.json('WebhookSecret', { method: 'GET', path: '/v1/webhook-secret', ...options })
  }
}
