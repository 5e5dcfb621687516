import * as z from 'zod'
import { ApiKey, CreatedApiKey, TenantAccount } from '../shared/api-key.ts'
import { JobCost, JobFailure, JobParameters, JobResult } from '../shared/job.ts'
import { JobEvent } from '../shared/job-event.ts'
import {
  CandidateList,
  JobImages,
  JobList,
  JobRecord,
  JobSummary,
  VerdictLedger,
  WebhookMessage,
} from '../shared/job-record.ts'
import type { ModelCard } from '../shared/model-card.ts'
import { ScoreRecord } from '../shared/score-record.ts'
import { Verdict } from '../shared/verdict.ts'
import { BudgetRequest, KeyRequest } from './admin-schema.ts'
import { ImageRequest, JobRequest } from './request-schema.ts'
import {
  CachePurge,
  Health,
  ImageResponse,
  ImageStreamEvent,
  ModelList,
  OwnStreamEvent,
  Problem,
  Readiness,
  RevisionPurge,
  StreamFailure,
  WebhookSecret,
} from './response-schema.ts'
import { ScoreRequest } from './score-request.ts'
import { scoreRequestForms } from './score-request-forms.ts'

export type Json = Record<string, unknown>

/** Schemas that the document names; a `$ref` leads to each. */
const SCHEMAS = {
  JobRequest,
  ImageRequest,
  JobRecord,
  JobParameters,
  JobResult,
  JobCost,
  JobFailure,
  Verdict,
  JobEvent,
  ImageResponse,
  ImageStreamEvent,
  OwnStreamEvent,
  StreamFailure,
  ModelList,
  Health,
  Readiness,
  Problem,
  JobSummary,
  JobList,
  VerdictLedger,
  CandidateList,
  JobImages,
  ScoreRequest,
  ScoreRecord,
  WebhookSecret,
  WebhookMessage,
  KeyRequest,
  BudgetRequest,
  CachePurge,
  RevisionPurge,
  ApiKey,
  CreatedApiKey,
  TenantAccount,
} as const
export type SchemaName = keyof typeof SCHEMAS

export const ref = (name: SchemaName): Json => ({ $ref: `#/components/schemas/${name}` })

/** What the document's components hold: every schema by its name, with the names and sizes that the models bring. */
export function componentSchemas(models: readonly ModelCard[]): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: 'input',
    override: ({ jsonSchema }) => simplifyTuple(jsonSchema),
  })
  nameWhatIsServed(schemas, models)
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, withoutAddress(schema)]))
}

/** Alike members need no list of them, which some readers of the document do not know. */
function simplifyTuple(schema: Json): void {
  const { prefixItems } = schema
  if (!Array.isArray(prefixItems)) return
  delete schema.prefixItems
  schema.items = prefixItems[0]
}

/** What only the list of models can tell: names and sizes that a request may have. */
function nameWhatIsServed(schemas: Json, models: readonly ModelCard[]): void {
  if (models.length === 0) return
  const served: Json = {
    model: models.map(({ id }) => id),
    verifier: [...new Set(models.flatMap(({ verifiers }) => verifiers))],
    size: ['auto', ...new Set(models.map(({ imageSize: [height, width] }) => `${width}x${height}`))],
  }
  const name = (properties: Record<string, Json>): void => {
    for (const [member, schema] of Object.entries(properties)) {
      const known = served[member]
      const choices = (schema.anyOf as Json[] | undefined) ?? [schema]
      if (known !== undefined) for (const choice of choices) if (choice.type === 'string') choice.enum = known
      if (schema.properties !== undefined) name(schema.properties as Record<string, Json>)
    }
  }
  for (const request of ['JobRequest', 'ImageRequest']) {
    name((schemas[request] as { properties: Record<string, Json> }).properties)
  }
  schemas.ScoreRequest = scoreRequestForms(schemas.ScoreRequest as Json, models)
}

/** A schema that the document has in place, not by name. */
export function schemaOf(schema: z.ZodType): Json {
  return withoutAddress(z.toJSONSchema(schema))
}

/** Inside an OpenAPI document the components section is the address. */
function withoutAddress({ $schema: _, $id: __, ...rest }: Json): Json {
  return rest
}
