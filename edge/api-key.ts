import { hex, sha256Hex } from './bytes.ts'

/** A key as its holder sends it: `pk_TENANT_ID_SECRET`. The tenant in it names the one object that can check it. */
export interface ParsedKey {
  tenant: string
  keyId: string
}

const SECRET_BYTES = 20
const ID_BYTES = 4
/** Id and secret have fixed lengths and no `_`, so a tenant's own ones do no harm. */
const FORM = /^pk_([A-Za-z0-9_-]{1,100})_([0-9a-f]{8})_[0-9a-f]{40}$/

/** @returns undefined when `token` cannot be a key of ours */
export function parseApiKey(token: string): ParsedKey | undefined {
  const [, tenant, keyId] = FORM.exec(token) ?? []
  return tenant !== undefined && keyId !== undefined ? { tenant, keyId } : undefined
}

/** A new key with 160 random bits. Only its hash is to be kept. */
export function newApiKey(tenant: string): { keyId: string; key: string } {
  const keyId = hex(crypto.getRandomValues(new Uint8Array(ID_BYTES)))
  const secret = hex(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))
  return { keyId, key: `pk_${tenant}_${keyId}_${secret}` }
}

/**
 * What is stored of a key. Plain SHA-256 suffices: unlike a password the secret is random, so there is nothing to guess.
 *
 * @returns 64 lower-case hexadecimal digits
 */
export function apiKeyHash(key: string): Promise<string> {
  return sha256Hex(new TextEncoder().encode(key))
}
