import { base64 } from './bytes.ts'

/** Standard Webhooks 1.0: `v1`, HMAC-SHA256 over `id.timestamp.body`. https://github.com/standard-webhooks/standard-webhooks */

const CONTEXT = 'parm-edge webhook secret v1:'
const SECRET_PREFIX = 'whsec_'
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
const encoder = new TextEncoder()

/** What a tenant checks its webhooks with, `whsec_` and base64 of 32 bytes. Derived, so there is nothing to store. */
export async function webhookSecret(secret: string, tenant: string): Promise<string> {
  return SECRET_PREFIX + base64(await tenantKey(secret, tenant))
}

/**
 * @param id         the same for every delivery of one message
 * @param timestamp  seconds since the epoch, of this delivery
 */
export async function signWebhook(
  secret: string,
  tenant: string,
  id: string,
  timestamp: number,
  body: string,
): Promise<Record<string, string>> {
  const key = await crypto.subtle.importKey('raw', await tenantKey(secret, tenant), HMAC, false, ['sign'])
  const signature = await crypto.subtle.sign('HMAC', key, encoder.encode(`${id}.${timestamp}.${body}`))
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${base64(new Uint8Array(signature))}`,
  }
}

async function tenantKey(secret: string, tenant: string): Promise<Uint8Array<ArrayBuffer>> {
  const master = await crypto.subtle.importKey('raw', encoder.encode(secret), HMAC, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', master, encoder.encode(CONTEXT + tenant)))
}
