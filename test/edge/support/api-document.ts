import { Validator } from '@cfworker/json-schema'
import { openApiDocument } from '../../../edge/openapi.ts'
import type { ModelCard } from '../../../shared/model-card.ts'
import type { JsonSchema } from './schema-arbitrary.ts'

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly schema: JsonSchema
}

interface Content {
  readonly [type: string]: { readonly schema: JsonSchema }
}

export interface Operation {
  readonly method: string
  /** `/v1/jobs/{id}` */
  readonly path: string
  readonly security: readonly Record<string, unknown>[]
  readonly parameters: readonly Parameter[]
  readonly body: JsonSchema | undefined
  readonly responses: Readonly<
    Record<string, { readonly content?: Content; readonly headers?: Record<string, unknown> }>
  >
}

/** The document as a caller reads it: its operations, and whether an answer is one that it promises. */
export class ApiDocument {
  readonly operations: readonly Operation[]
  readonly #root: JsonSchema
  readonly #validators = new Map<JsonSchema, Validator>()

  constructor(models: readonly ModelCard[]) {
    this.#root = JSON.parse(JSON.stringify(openApiDocument(models)))
    const paths = this.#root.paths as Record<string, Record<string, Record<string, unknown>>>
    this.operations = Object.entries(paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]): Operation => {
        const requestBody = operation.requestBody as { content: Content } | undefined
        return {
          method: method.toUpperCase(),
          path,
          security: (operation.security ?? []) as Operation['security'],
          parameters: (operation.parameters ?? []) as Parameter[],
          body: requestBody?.content['application/json']?.schema,
          responses: operation.responses as Operation['responses'],
        }
      }),
    )
  }

  resolve = (ref: string): JsonSchema => {
    let at: unknown = this.#root
    for (const part of ref.replace(/^#\//, '').split('/')) at = (at as Record<string, unknown>)[part]
    return at as JsonSchema
  }

  /** @returns what of the answer the document does not promise, in words; undefined when all is as it says */
  async problemWith({ responses }: Operation, response: Response): Promise<string | undefined> {
    const { status, headers, body } = response
    const promised = responses[String(status)]
    if (!promised) return `status ${status} is not in the document`
    const type = headers.get('content-type')?.split(';')[0]
    const missing = Object.keys(promised.headers ?? {}).filter((name) => name === 'x-request-id' && !headers.has(name))
    if (missing.length > 0) return `status ${status} came without ${missing.join()}`
    if (!promised.content) {
      return (await response.text()) === '' ? undefined : `status ${status} has a body; the document says it has none`
    }
    const content = promised.content[type ?? '']
    if (!content) return `status ${status} came as ${type}`
    if (!type?.endsWith('json')) {
      await body?.cancel()
      return undefined
    }
    const { valid, errors } = this.#validator(content.schema).validate(await response.json())
    return valid
      ? undefined
      : `status ${status}: ${errors.map(({ instanceLocation, error }) => `${instanceLocation} ${error}`)}`
  }

  #validator(schema: JsonSchema): Validator {
    let known = this.#validators.get(schema)
    if (!known) {
      known = new Validator({ ...schema, components: this.#root.components }, '2020-12', false)
      this.#validators.set(schema, known)
    }
    return known
  }
}
