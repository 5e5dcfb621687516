import { base64url, fromBase64url } from './bytes.ts'

const CONTEXT = 'parm-edge read token v1:'
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
const encoder = new TextEncoder()

/** Query parameter of a job's events that stands in for an API key. */
export const READ_TOKEN_PARAMETER = 'token'

/** Opens one job for reading and nothing else: HMAC-SHA256(secret, context + job id), base64url of 32 bytes. */
export async function readToken(secret: string, jobId: string): Promise<string> {
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), HMAC, false, ['sign'])
  return base64url(new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(CONTEXT + jobId))))
}

export async function isReadToken(secret: string, jobId: string, token: string): Promise<boolean> {
  const signature = fromBase64url(token)
  if (!signature) return false
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), HMAC, false, ['verify'])
  // subtle.verify compares in constant time.
  return crypto.subtle.verify('HMAC', key, signature, encoder.encode(CONTEXT + jobId))
}
