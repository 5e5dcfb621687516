import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { parseEnv } from '../env.ts'

/** `/v1/models`: OpenAI's list shape with the whole card inside; the first is the default. */
export const models = new Hono<AppEnv>()

models.get('/', (c) => {
  const data = [...parseEnv(c.env).models.values()].map((card) => ({
    object: 'model' as const,
    // A bundle is known by its revision, not by a date; clients of OpenAI's list expect the member.
    created: 0,
    owned_by: 'parm-edge',
    ...card,
  }))
  return c.json({ object: 'list' as const, data })
})
