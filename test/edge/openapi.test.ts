import { encode } from 'fast-png'
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { BudgetRequest, KeyRequest } from '../../edge/admin-schema.ts'
import { base64 } from '../../edge/bytes.ts'
import { ImageRequest, JobRequest } from '../../edge/request-schema.ts'
import { ScoreRequest } from '../../edge/score-request.ts'
import { TEST_MODEL } from '../support/model-card.ts'
import { call } from './support/api.ts'

type Json = Record<string, unknown>

const document = async (): Promise<Json> => (await call('/openapi.json')).json()

/** Every value in the document with the path that leads to it. */
function* walk(value: unknown, path: string[] = []): Generator<{ path: string[]; value: unknown }> {
  yield { path, value }
  if (value === null || typeof value !== 'object') return
  for (const [key, child] of Object.entries(value)) yield* walk(child, [...path, key])
}

function at(root: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Json | undefined)?.[key], root)
}

describe('the OpenAPI document', () => {
  it('is version 3.1 and names every public route', async () => {
    const { openapi, paths } = await document()
    expect(openapi).toBe('3.1.0')
    const operations = Object.entries(paths as Record<string, Json>).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(operations.sort()).toEqual([
      'DELETE /admin/v1/cache/{jobId}',
      'DELETE /admin/v1/images/{sha256}',
      'DELETE /admin/v1/revisions/{revision}/cache',
      'DELETE /admin/v1/tenants/{tenant}',
      'DELETE /admin/v1/tenants/{tenant}/budget',
      'DELETE /admin/v1/tenants/{tenant}/keys/{keyId}',
      'DELETE /v1/jobs/{id}',
      'DELETE /v1/scores/{id}',
      'GET /admin/v1/tenants/{tenant}',
      'GET /healthz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /readyz',
      'GET /v1/images/{sha256}',
      'GET /v1/jobs',
      'GET /v1/jobs/{id}',
      'GET /v1/jobs/{id}/candidates',
      'GET /v1/jobs/{id}/events',
      'GET /v1/jobs/{id}/images',
      'GET /v1/jobs/{id}/verdicts',
      'GET /v1/models',
      'GET /v1/models/{id}',
      'GET /v1/scores/{id}',
      'GET /v1/webhook-secret',
      'POST /admin/v1/tenants/{tenant}/keys',
      'POST /v1/images/generations',
      'POST /v1/jobs',
      'POST /v1/scores',
      'PUT /admin/v1/tenants/{tenant}/budget',
    ])
  })

  it('resolves each of its references', async () => {
    const root = await document()
    const references = [...walk(root)].filter(({ path }) => path.at(-1) === '$ref').map(({ value }) => String(value))
    expect(references.length).toBeGreaterThan(20)
    const lost = references.filter((reference) => at(root, reference.replace(/^#\//, '').split('/')) === undefined)
    expect(lost).toEqual([])
  })

  // Version 3.1 does not know `itemSchema`, and generators refuse the whole document for it.
  it('describes the events of a stream in an extension, beside the text that a stream is', async () => {
    const streams = [...walk(await document())].filter(({ path }) => path.at(-1) === 'text/event-stream')
    expect(streams).toHaveLength(2)
    for (const { value } of streams)
      expect(value).toMatchObject({ schema: { anyOf: [{ type: 'string' }, { type: 'object' }] }, 'x-itemSchema': {} })
  })

  // openapi-generator, the one that most languages have, stops at the one or makes code of the other that does not compile.
  it('has neither lists of types nor members that can only be null, but for the constant', async () => {
    const found = [...walk(await document())].filter(({ value }) => {
      const { type } = (value ?? {}) as Json
      return Array.isArray(type)
    })
    expect(found.map(({ path }) => path.join('.'))).toEqual([])
    const { schemas } = (await document()).components as {
      schemas: Record<string, { properties?: Record<string, Json> }>
    }
    const members = Object.values(schemas).flatMap(({ properties = {} }) => Object.entries(properties))
    expect(members.filter(([, { type }]) => type === 'null')).toEqual([])
    expect(members.filter(([, schema]) => schema.const === null)).toHaveLength(3)
  })

  // A generator makes up a name for each that has none, another one at every version, or leaves its members out.
  it('names every object that it describes', async () => {
    const schemas = at(await document(), ['components', 'schemas']) as Record<string, Json>
    const inline = Object.values(schemas).flatMap((schema) =>
      [...walk(schema)].filter(
        ({ path, value }) => path.length > 0 && (value as Json | null)?.properties !== undefined,
      ),
    )
    expect(inline.map(({ path }) => path.join('.'))).toEqual([])
  })

  it('gives every operation a tag, and says of each what it asks of a caller', async () => {
    const { paths, tags, webhooks, components } = await document()
    expect(webhooks).toEqual({ jobEnded: { $ref: '#/components/pathItems/JobEnded' } })
    const { pathItems } = components as { pathItems: Json }
    const known = (tags as { name: string }[]).map(({ name }) => name)
    const operations = [paths, pathItems].flatMap((items) =>
      Object.values(items as Json).flatMap((item) => Object.values(item as Json)),
    )
    for (const operation of operations as Json[]) {
      expect(operation.operationId).toEqual(expect.any(String))
      expect(known).toContain((operation.tags as string[])[0])
      expect(operation.security).toEqual(expect.any(Array))
    }
  })

  it('says that null means absent of every field that a request may leave out', async () => {
    const root = await document()
    const { required = [], properties } = at(root, ['components', 'schemas', 'ParmOptions']) as {
      required?: string[]
      properties: Record<string, Json>
    }
    expect(required).toEqual([])
    for (const schema of Object.values(properties)) expect(schema.anyOf).toContainEqual({ type: 'null' })
  })

  it('carries no schema address that would change what a reference means', async () => {
    const keys = [...walk((await document()).components)].map(({ path }) => path.at(-1))
    expect(keys).not.toContain('$id')
    expect(keys).not.toContain('$schema')
  })

  it('describes every path parameter that its paths have', async () => {
    const { paths } = await document()
    for (const [path, item] of Object.entries(paths as Record<string, Record<string, Json>>)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1])
      for (const operation of Object.values(item)) {
        const parameters = (operation.parameters ?? []) as { name: string; in: string }[]
        expect(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)).toEqual(named)
      }
    }
  })

  it('gives examples that its own schemas take', async () => {
    const { paths } = await document()
    const schemas: Record<string, z.ZodType> = {
      JobRequest,
      ImageRequest,
      ScoreRequest,
      KeyRequest,
      BudgetRequest,
    }
    let checked = 0
    for (const { value } of walk(paths)) {
      const { schema, example } = (value ?? {}) as { schema?: { $ref?: string }; example?: unknown }
      if (example === undefined) continue
      const name = schema?.$ref?.split('/').at(-1) ?? ''
      expect(schemas[name]?.safeParse(example).error).toBeUndefined()
      checked++
    }
    expect(checked).toBe(5)
  })

  it('states the limits that requests are held to', async () => {
    const root = await document()
    const candidates = at(root, ['components', 'schemas', 'JobRequest', 'properties', 'candidates'])
    expect(candidates).toMatchObject({ anyOf: [{ type: 'integer', minimum: 1, maximum: 32 }, { type: 'null' }] })
    expect(at(root, ['components', 'schemas', 'JobRequest', 'additionalProperties'])).toBe(false)
    expect(at(root, ['components', 'schemas', 'ImageRequest', 'required'])).toEqual(['prompt'])
  })

  it('tells a picture of the model’s size from others, however it is written', async () => {
    const { components } = await document()
    const image = at(components, ['schemas', 'ScoreOnePicture', 'properties', 'image']) as { pattern: string }
    const pattern = new RegExp(image.pattern)
    const [height, width] = TEST_MODEL.imageSize
    const png = (wide: number, channels: number) =>
      base64(encode({ width: wide, height, channels, depth: 8, data: new Uint8Array(wide * height * channels) }))
    const right = [png(width, 3), png(width, 4), `data:image/png;base64,${png(width, 3)}`, 'e'.repeat(64)]
    const wrong = [png(width + 1, 3), png(width, 1), `${png(width, 3)}A=`, 'e'.repeat(63)]
    expect(right.map((image) => pattern.test(image))).toEqual([true, true, true, true])
    expect(wrong.map((image) => pattern.test(image))).toEqual([false, false, false, false])
  })

  it('has one operation id each', async () => {
    const { paths } = await document()
    const ids = [...walk(paths)].filter(({ path }) => path.at(-1) === 'operationId').map(({ value }) => value)
    expect(new Set(ids).size).toBe(ids.length)
  })
})
