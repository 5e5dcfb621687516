import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { parseEnv } from '../env.ts'

/** `/healthz`: this Worker runs and its configuration is whole. It says nothing about the GPU workers behind the queue. */
export const health = new Hono<AppEnv>()

health.get('/', (c) => {
  const { access, models } = parseEnv(c.env)
  return c.json({ status: 'ok' as const, access, models: [...models.keys()] }, 200, { 'cache-control': 'no-store' })
})
