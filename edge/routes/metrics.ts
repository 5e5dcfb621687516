import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { authenticateOperator } from '../auth.ts'
import { parseEnv } from '../env.ts'
import type { EdgeMetrics } from '../metrics.ts'

/** `/metrics`, the operator's where keys are asked for: how much is asked is nobody else's business. */
export function metricsRoute(metrics: EdgeMetrics): Hono<AppEnv> {
  const route = new Hono<AppEnv>()
  const asOperator = authenticateOperator()
  route.use((c, next) => (parseEnv(c.env).access === 'open' ? next() : asOperator(c, next)))
  route.get('/', (c) =>
    c.body(metrics.text(), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'cache-control': 'no-store',
    }),
  )
  return route
}
