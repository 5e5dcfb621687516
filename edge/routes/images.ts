import { waitUntil } from 'cloudflare:workers'
import { type Context, Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { Sha256Hex } from '../../shared/job.ts'
import { CONTENT_TYPES } from '../../shared/picture-format.ts'
import type { AppEnv } from '../app-env.ts'
import { byteRange } from '../byte-range.ts'
import { errorResponse } from '../error-response.ts'
import { isTakenDown } from '../taken-down.ts'

/**
 * `/v1/images/:sha256`: content-addressed, so an answer never goes stale, unless it is taken down, and is kept by whatever cache lies on its way. The first
 * is Cloudflare's own at the place where the caller is; out of it come parts, 304 and HEAD as well.
 */
export const images = new Hono<AppEnv>()

/** Of a day, because a picture may be taken down; who has it asks again by its tag, which costs a few bytes. */
const CACHE_CONTROL = 'public, max-age=86400'

/** Neighbours that answer POST alone. */
const POST_ONLY = ['generations', 'edits', 'variations']

for (const operation of ['edits', 'variations']) {
  images.post(`/${operation}`, () => {
    const message = `There are no image ${operation} here: pictures are made of prompts alone, by POST /v1/images/generations`
    throw new AppError('operation_unsupported', message)
  })
}

images.get('/:sha256', async (c) => {
  const sha256 = c.req.param('sha256')
  if (POST_ONLY.includes(sha256)) return c.notFound()
  if (!Sha256Hex.safeParse(sha256).success) throw notFound(sha256)
  const etag = `"${sha256}"`
  const headers = { etag, 'cache-control': CACHE_CONTROL }
  const isHead = c.req.raw.method === 'HEAD'
  const isKnown = hasTag(c.req.header('if-none-match'), etag)
  if (isHead || isKnown) {
    const { size, type } = await lookUp(c, sha256)
    return isKnown ? c.body(null, 304, headers) : c.body(null, 200, { ...headers, ...bodyHeaders(sha256, type, size) })
  }
  const { size, type, body } = await open(c, sha256)
  const ifRange = c.req.header('if-range')
  const part = ifRange === undefined || ifRange === etag ? byteRange(c.req.header('range'), size) : undefined
  if (part === undefined) return c.body(body, 200, { ...headers, ...bodyHeaders(sha256, type, size) })
  if (part === 'unsatisfiable') {
    await body.cancel()
    return unsatisfiable(c.var.requestId, size)
  }
  const whole = await new Response(body).arrayBuffer()
  return c.body(whole.slice(part.first, part.last + 1), 206, {
    ...headers,
    ...bodyHeaders(sha256, type, part.last - part.first + 1),
    'content-range': `bytes ${part.first}-${part.last}/${size}`,
  })
})

interface Kept {
  /** Bytes. */
  readonly size: number
  readonly type: string
}

/** Without the query, which names nothing here. */
const addressOf = (c: Context<AppEnv>): string => new URL(c.req.path, c.req.url).href

/** @throws AppError image_not_found */
async function lookUp(c: Context<AppEnv>, sha256: string): Promise<Kept> {
  const cached = await caches.default.match(addressOf(c))
  if (cached) {
    await cached.body?.cancel()
    return keptIn(cached)
  }
  const stored = await c.env.IMAGES.head(sha256)
  if (!stored || isTakenDown(stored)) throw notFound(sha256)
  return { size: stored.size, type: typeOf(stored) }
}

/** @throws AppError image_not_found */
async function open(c: Context<AppEnv>, sha256: string): Promise<Kept & { body: ReadableStream }> {
  const cached = await caches.default.match(addressOf(c))
  if (cached?.body) return { ...keptIn(cached), body: cached.body }
  const stored = await c.env.IMAGES.get(sha256)
  if (!stored || isTakenDown(stored)) throw notFound(sha256)
  const kept = { size: stored.size, type: typeOf(stored) }
  const headers = { 'cache-control': CACHE_CONTROL, ...bodyHeaders(sha256, kept.type, kept.size) }
  const [body, copy] = stored.body.tee()
  waitUntil(caches.default.put(addressOf(c), new Response(copy, { headers })))
  return { ...kept, body }
}

const keptIn = ({ headers }: Response): Kept => ({
  size: Number(headers.get('content-length')),
  type: headers.get('content-type') ?? CONTENT_TYPES.png,
})
const typeOf = ({ httpMetadata }: R2Object): string => httpMetadata?.contentType ?? CONTENT_TYPES.png

function bodyHeaders(sha256: string, type: string, bytes: number): Record<string, string> {
  return {
    'content-type': type,
    'content-length': String(bytes),
    'content-disposition': `inline; filename="${sha256.slice(0, 16)}.${type.replace('image/', '')}"`,
    'accept-ranges': 'bytes',
  }
}

/** RFC 9110, 13.1.2: weak comparison, `*` matches anything stored. */
function hasTag(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}

/** Tells how long the image is, so that the caller can ask again (RFC 9110, 14.4). */
function unsatisfiable(requestId: string, size: number): Response {
  const error = new AppError('range_not_satisfiable', `The image has ${size} bytes; the range begins past them`)
  const response = errorResponse(error, requestId)
  response.headers.set('content-range', `bytes */${size}`)
  return response
}

function notFound(sha256: string): AppError {
  return new AppError('image_not_found', `There is no image ${JSON.stringify(sha256.slice(0, 80))}`)
}
