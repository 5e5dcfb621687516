import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { AppError } from '../shared/error-code.ts'
import { allowedMethods } from './allowed-methods.ts'
import type { AppEnv } from './app-env.ts'
import { errorResponse } from './error-response.ts'
import { EdgeMetrics } from './metrics.ts'
import { RATE_LIMIT_HEADERS, tellAllowance } from './rate-limit-headers.ts'
import { identifyRequest, logRequests } from './request-log.ts'
import { admin } from './routes/admin.ts'
import { generations } from './routes/generations.ts'
import { health } from './routes/health.ts'
import { images } from './routes/images.ts'
import { internal } from './routes/internal.ts'
import { jobs } from './routes/jobs.ts'
import { metricsRoute } from './routes/metrics.ts'
import { models } from './routes/models.ts'
import { openapi } from './routes/openapi.ts'
import { ready } from './routes/ready.ts'
import { webhookSecretRoute } from './routes/webhook-secret.ts'
import { traceRequests } from './tracing.ts'

/** Middleware, then every route in reading order. */
export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>()
  const metrics = new EdgeMetrics()

  app.use(identifyRequest())
  app.use(traceRequests())
  app.use(logRequests())
  app.use(metrics.countRequests())
  app.use(async function forbidSniffing(c, next) {
    await next()
    c.header('x-content-type-options', 'nosniff')
  })
  // Open to any origin: callers are known by API key, never by cookie.
  app.use(
    '/v1/*',
    cors({
      origin: '*',
      allowMethods: ['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS'],
      allowHeaders: [
        'authorization',
        'cache-control',
        'cancel-after',
        'content-type',
        'idempotency-key',
        'if-range',
        'last-event-id',
        'prefer',
        'range',
        'traceparent',
        'x-request-id',
      ],
      exposeHeaders: [
        'accept-ranges',
        'cache-status',
        'content-range',
        'idempotency-replayed',
        'location',
        'preference-applied',
        'retry-after',
        'retry-after-ms',
        'server-timing',
        'x-request-id',
        ...RATE_LIMIT_HEADERS,
      ],
      maxAge: 86_400,
    }),
  )

  app.use('/v1/*', tellAllowance())

  app.route('/v1/images/generations', generations)
  app.route('/v1/images', images)
  app.route('/v1/jobs', jobs)
  app.route('/v1/models', models)
  app.route('/v1/webhook-secret', webhookSecretRoute)
  app.route('/healthz', health)
  app.route('/readyz', ready)
  app.route('/metrics', metricsRoute(metrics))
  app.route('/openapi.json', openapi)
  app.route('/admin/v1', admin)
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
