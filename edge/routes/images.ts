import { waitUntil } from 'cloudflare:workers'
import { Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { Sha256Hex } from '../../shared/job.ts'
import type { AppEnv } from '../app-env.ts'
import { byteRange } from '../byte-range.ts'
import { errorResponse } from '../error-response.ts'

/** `/v1/images/:sha256`: content-addressed, so an answer never goes stale and is kept by whatever cache lies on its way. */
export const images = new Hono<AppEnv>()

const CACHE_CONTROL = 'public, max-age=31536000, immutable'

images.get('/:sha256', async (c) => {
  const sha256 = c.req.param('sha256')
  if (!Sha256Hex.safeParse(sha256).success) throw notFound(sha256)
  const etag = `"${sha256}"`
  const headers = { etag, 'cache-control': CACHE_CONTROL }
  const isHead = c.req.raw.method === 'HEAD'
  const isKnown = hasTag(c.req.header('if-none-match'), etag)
  const ifRange = c.req.header('if-range')
  const range = isHead || (ifRange !== undefined && ifRange !== etag) ? undefined : c.req.header('range')
  if (!isHead && !isKnown && range === undefined) {
    // Cloudflare's cache of the place where the caller is; without the query, which names nothing here.
    const address = new URL(c.req.path, c.req.url).href
    const cached = await caches.default.match(address)
    if (cached?.body) return c.body(cached.body, 200, { ...headers, ...bodyHeaders(lengthOf(cached), sha256) })
    const stored = await c.env.IMAGES.get(sha256)
    if (!stored) throw notFound(sha256)
    const answer = c.body(stored.body, 200, { ...headers, ...bodyHeaders(stored.size, sha256) })
    waitUntil(caches.default.put(address, answer.clone()))
    return answer
  }
  const stored = await c.env.IMAGES.head(sha256)
  if (!stored) throw notFound(sha256)
  if (isHead) return c.body(null, 200, { ...headers, ...bodyHeaders(stored.size, sha256) })
  if (isKnown) return c.body(null, 304, headers)
  const part = byteRange(range, stored.size)
  if (part === 'unsatisfiable') return unsatisfiable(c.var.requestId, stored.size)
  const options = part ? { range: { offset: part.first, length: part.last - part.first + 1 } } : {}
  const body = (await c.env.IMAGES.get(sha256, options))?.body
  if (!body) throw notFound(sha256)
  if (!part) return c.body(body, 200, { ...headers, ...bodyHeaders(stored.size, sha256) })
  return c.body(body, 206, {
    ...headers,
    ...bodyHeaders(part.last - part.first + 1, sha256),
    'content-range': `bytes ${part.first}-${part.last}/${stored.size}`,
  })
})

const lengthOf = ({ headers }: Response): number => Number(headers.get('content-length'))

function bodyHeaders(bytes: number, sha256: string): Record<string, string> {
  return {
    'content-type': 'image/png',
    'content-length': String(bytes),
    'content-disposition': `inline; filename="${sha256.slice(0, 16)}.png"`,
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
