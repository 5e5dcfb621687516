import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import { parseEnv } from '../env.ts'
import { openApiDocument } from '../openapi.ts'

/** `/openapi.json` */
export const openapi = new Hono<AppEnv>()

openapi.get('/', (c) => c.json(openApiDocument([...parseEnv(c.env).models.values()])))
