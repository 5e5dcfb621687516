import { Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { Sha256Hex } from '../../shared/job.ts'
import type { AppEnv } from '../app-env.ts'

/** `/v1/images/:sha256`: content-addressed, so an answer never goes stale. */
export const images = new Hono<AppEnv>()

const CACHE_CONTROL = 'public, max-age=31536000, immutable'

images.get('/:sha256', async (c) => {
  const sha256 = c.req.param('sha256')
  if (!Sha256Hex.safeParse(sha256).success) throw notFound(sha256)
  const etag = `"${sha256}"`
  const headers = { etag, 'cache-control': CACHE_CONTROL }
  if (c.req.raw.method === 'HEAD' || hasTag(c.req.header('if-none-match'), etag)) {
    const stored = await c.env.IMAGES.head(sha256)
    if (!stored) throw notFound(sha256)
    if (c.req.raw.method !== 'HEAD') return c.body(null, 304, headers)
    return c.body(null, 200, { ...headers, ...bodyHeaders(stored.size, sha256) })
  }
  const stored = await c.env.IMAGES.get(sha256)
  if (!stored) throw notFound(sha256)
  return c.body(stored.body, 200, { ...headers, ...bodyHeaders(stored.size, sha256) })
})

function bodyHeaders(bytes: number, sha256: string): Record<string, string> {
  return {
    'content-type': 'image/png',
    'content-length': String(bytes),
    'content-disposition': `inline; filename="${sha256.slice(0, 16)}.png"`,
  }
}

/** RFC 9110, 13.1.2: weak comparison, `*` matches anything stored. */
function hasTag(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = (ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  return tags.includes('*') || tags.includes(etag)
}

function notFound(sha256: string): AppError {
  return new AppError('image_not_found', `There is no image ${JSON.stringify(sha256.slice(0, 80))}`)
}
