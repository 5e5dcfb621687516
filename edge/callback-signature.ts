import { AppError } from '../shared/error-code.ts'
import { LIMITS } from '../shared/limits.ts'
import { SIGNATURE_HEADERS, signingString } from '../shared/worker-protocol.ts'
import { base64url, fromHex, sha256Hex } from './bytes.ts'

const KEY_CONTEXT = 'parm-edge callback key v1:'
const HMAC = { name: 'HMAC', hash: 'SHA-256' }
const encoder = new TextEncoder()

/**
 * The key that opens one job's callbacks and nothing else: HMAC-SHA256(secret, context + job id), base64url of 32 bytes.
 * It travels in the queue message, so a worker can only speak for jobs that it received.
 */
export async function callbackKey(secret: string, jobId: string): Promise<string> {
  return base64url(await callbackKeyBytes(secret, jobId))
}

/** Who calls, and what was signed beside the headers. */
export interface SignedCall {
  /** That the worker speaks for. */
  readonly jobId: string
  /** Of the body, which is still to be read and compared. */
  readonly bodySha256: string
}

/**
 * Checks a worker's signature over method, path with query, timestamp and the body's hash. Nothing is read of the body: who is no
 * worker could fill the isolate with it.
 *
 * @throws AppError `signature_invalid`; the message never says which byte was wrong
 */
export async function verifyCallback(request: Request, secret: string): Promise<SignedCall> {
  const jobId = request.headers.get(SIGNATURE_HEADERS.job) ?? ''
  const timestamp = request.headers.get(SIGNATURE_HEADERS.timestamp) ?? ''
  const bodySha256 = request.headers.get(SIGNATURE_HEADERS.contentSha256) ?? ''
  const signature = fromHex(request.headers.get(SIGNATURE_HEADERS.signature) ?? '')
  if (!/^\d{1,15}$/.test(timestamp) || !/^[0-9a-f]{64}$/.test(bodySha256) || !signature) {
    const headers = Object.values(SIGNATURE_HEADERS).join(', ')
    throw new AppError('signature_invalid', `The call is not signed; expected the headers ${headers}`)
  }
  if (Math.abs(Date.now() - Number(timestamp)) > LIMITS.signatureSkewMs) {
    const message = `The signature's timestamp is more than ${LIMITS.signatureSkewMs} ms away from the edge's clock`
    throw new AppError('signature_invalid', message)
  }
  const { pathname, search } = new URL(request.url)
  const signed = signingString(request.method, pathname + search, timestamp, bodySha256)
  const key = await crypto.subtle.importKey('raw', await callbackKeyBytes(secret, jobId), HMAC, false, ['verify'])
  // subtle.verify compares in constant time.
  const valid = await crypto.subtle.verify('HMAC', key, signature, encoder.encode(signed))
  if (!valid) throw new AppError('signature_invalid', 'The signature does not fit the job, the path and the body')
  return { jobId, bodySha256 }
}

/** @throws AppError `signature_invalid`  where it is another body than the one that was signed for */
export async function requireSignedBody({ bodySha256 }: SignedCall, body: Uint8Array): Promise<void> {
  if ((await sha256Hex(body)) === bodySha256) return
  throw new AppError('signature_invalid', 'The body is another one than the one that was signed for')
}

async function callbackKeyBytes(secret: string, jobId: string): Promise<Uint8Array> {
  const master = await crypto.subtle.importKey('raw', encoder.encode(secret), HMAC, false, ['sign'])
  return new Uint8Array(await crypto.subtle.sign('HMAC', master, encoder.encode(KEY_CONTEXT + jobId)))
}
