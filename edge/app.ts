import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { AppError } from '../shared/error-code.ts'
import { addressRule } from './address-rule.ts'
import { allowedMethods } from './allowed-methods.ts'
import type { AppEnv } from './app-env.ts'
import { envelope, OPEN_DOCUMENTS } from './envelope.ts'
import { errorResponse } from './error-response.ts'
import { HitMemory } from './hit-memory.ts'
import { EdgeMetrics } from './metrics.ts'
import { RequestLog } from './request-log.ts'
import { admin } from './routes/admin.ts'
import { cachePurgeRoute } from './routes/cache-purge.ts'
import { generationsRoute } from './routes/generations.ts'
import { health } from './routes/health.ts'
import { images } from './routes/images.ts'
import { internal } from './routes/internal.ts'
import { jobs } from './routes/jobs.ts'
import { metricsRoute } from './routes/metrics.ts'
import { models } from './routes/models.ts'
import { openapi } from './routes/openapi.ts'
import { ready } from './routes/ready.ts'
import { scores } from './routes/scores.ts'
import { webhookSecretRoute } from './routes/webhook-secret.ts'

/** Middleware, then every route in reading order. */
export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const metrics = new EdgeMetrics()
  const hitMemory = new HitMemory()

  app.use(envelope(metrics, new RequestLog()))
  app.use(addressRule)
  app.on(
    'OPTIONS',
    ['/v1/*', ...OPEN_DOCUMENTS],
    // Without a list of headers those are permitted that the browser asks for: SDKs send many of their own.
    cors({ origin: '*', allowMethods: ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'], maxAge: 86_400 }),
  )

  app.route('/v1/images/generations', generationsRoute(hitMemory))
  app.route('/v1/images', images)
  app.route('/v1/jobs', jobs)
  app.route('/v1/scores', scores)
  app.route('/v1/models', models)
  app.route('/v1/webhook-secret', webhookSecretRoute)
  app.route('/healthz', health)
  app.route('/readyz', ready)
  app.route('/metrics', metricsRoute(metrics))
  app.route('/openapi.json', openapi)
  app.route('/admin/v1', cachePurgeRoute(hitMemory))
  app.route('/admin/v1/tenants', admin)
  app.route('/internal/v1', internal)

  app.notFound((c) => {
    const allowed = allowedMethods(app.routes, c.req.path)
    if (allowed.length === 0) {
      const error = new AppError('route_not_found', 'There is no such address; GET /openapi.json lists them')
      return errorResponse(error, c.var.requestId)
    }
    const error = new AppError(
      'method_not_allowed',
      `${c.req.method} is not possible here; permitted: ${allowed.join(', ')}`,
    )
    const response = errorResponse(error, c.var.requestId)
    response.headers.set('allow', allowed.join(', '))
    return response
  })

  app.onError((thrown, c) => errorResponse(thrown, c.var.requestId))

  return app
}
