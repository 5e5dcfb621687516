import { Hono } from 'hono'
import { createApp } from '../app.ts'
import type { Env } from '../env.ts'

/** What `npm run bench:edge` serves: the edge as it is deployed and, in the same isolate, the barest route there can be. */

export { CacheEntry } from '../objects/cache-entry.ts'
export { Job } from '../objects/job.ts'
export { Tenant } from '../objects/tenant.ts'

const edge = createApp()

/** What the bare route answers; set by the benchmark to a body of the edge's own. */
let body = ''
const bare = new Hono()
  .put('/bare', async (c) => {
    body = await c.req.text()
    return c.body(null, 204)
  })
  .post('/bare', (c) => c.body(body, 200, { 'content-type': 'application/json' }))

export default {
  fetch(request: Request, env: Env, context: ExecutionContext): Response | Promise<Response> {
    return request.url.endsWith('/bare') ? bare.fetch(request, env, context) : edge.fetch(request, env, context)
  },
}
