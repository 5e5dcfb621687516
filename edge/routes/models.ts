import { Hono } from 'hono'
import type { AppEnv } from '../app-env.ts'
import type { Config } from '../config.ts'
import { parseEnv } from '../env.ts'
import { chooseModel } from '../job-parameters.ts'
import type { Model, ModelList } from '../response-schema.ts'

/** `/v1/models`: OpenAI's shapes with the whole card inside; the first of the list is the default. */
export const models = new Hono<AppEnv>()

models.get('/', (c) => {
  const config = parseEnv(c.env)
  const data = [...config.models.values()].map((card) => modelOf(config, card))
  return c.json({ object: 'list', data } satisfies ModelList)
})

// An id may hold a slash, as Hugging Face's do.
models.get('/:id{.+}', (c) => {
  const config = parseEnv(c.env)
  return c.json(modelOf(config, chooseModel(config, c.req.param('id'))))
})

function modelOf({ aliases }: Config, card: ReturnType<typeof chooseModel>): Model {
  const names = [...aliases].filter(([, id]) => id === card.id).map(([alias]) => alias)
  return {
    object: 'model',
    // A bundle is known by its revision, not by a date; clients of OpenAI's list expect the member.
    created: 0,
    owned_by: 'parm-edge',
    ...card,
    ...(names.length > 0 ? { aliases: names } : {}),
  }
}
