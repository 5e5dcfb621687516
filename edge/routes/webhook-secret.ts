import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { authenticate } from '../auth.ts'
import { parseEnv } from '../env.ts'
import { webhookSecret } from '../webhook-signature.ts'

/** `/v1/webhook-secret`: what the caller's tenant checks its webhooks with. */
export const webhookSecretRoute = new Hono<AppEnv>()

webhookSecretRoute.get('/', authenticate({ scope: 'generate', metered: false }), async (c) => {
  const secret = await webhookSecret(parseEnv(c.env).callbackSecret, c.var.caller.tenant)
  return c.json({ secret }, 200, { 'cache-control': 'no-store' })
})
