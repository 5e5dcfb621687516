import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { parseEnv } from '../env.ts'
import { openApiDocument } from '../openapi.ts'

/** `/openapi.json` */
export const openapi = new Hono<AppEnv>()

openapi.get('/', (c) => {
  const { models, aliases } = parseEnv(c.env)
  return c.json(openApiDocument([...models.values()], [...aliases.keys()]))
})
