import * as z from 'zod'
import { ApiKey, Budget, CreatedApiKey, KeyLimits, TenantAccount } from '../shared/api-key.ts'
import { ImageRef, JobCost, JobFailure, JobParameters, JobResult, ScoreAnswers, ScoreCost } from '../shared/job.ts'
import { JobEvent } from '../shared/job-event.ts'
import {
  CandidateAccount,
  CandidateList,
  Degraded,
  JobImages,
  JobList,
  JobRecord,
  JobSummary,
  VerdictLedger,
  WebhookMessage,
} from '../shared/job-record.ts'
import { type ModelCard, OperatingPoint } from '../shared/model-card.ts'
import { ScoreRecord } from '../shared/score-record.ts'
import { Verdict } from '../shared/verdict.ts'
import { BudgetRequest, KeyRequest } from './admin-schema.ts'
import { sizesOf } from './picture-codec.ts'
import { ImageRequest, JobRequest, ParmOptions } from './request-schema.ts'
import {
  CachePurge,
  ErasedTenant,
  GenerationSummary,
  Health,
  ImageDatum,
  ImageResponse,
  ImageStreamEvent,
  Model,
  ModelList,
  OwnStreamEvent,
  Problem,
  Readiness,
  RevisionPurge,
  StreamFailure,
  TakenDown,
  Usage,
  WebhookSecret,
} from './response-schema.ts'
import { ScoreRequest, ScoreRequestItem } from './score-request.ts'
import { scoreRequestForms } from './score-request-forms.ts'

export type Json = Record<string, unknown>

/** Schemas that the document names; a `$ref` leads to each. What has no name here gets a different one from every generator. */
const SCHEMAS = {
  JobRequest,
  ImageRequest,
  ParmOptions,
  JobRecord,
  Degraded,
  JobParameters,
  JobResult,
  JobCost,
  JobFailure,
  ImageRef,
  Verdict,
  JobEvent,
  ...namedEvents(JobEvent.options, 'Event'),
  ImageResponse,
  ImageDatum,
  GenerationSummary,
  Usage,
  UsageDetails: Usage.shape.input_tokens_details,
  ImageStreamEvent,
  PartialImageEvent: ImageStreamEvent.options[0],
  PartialImageOrigin: ImageStreamEvent.options[0].shape.parm,
  CompletedImageEvent: ImageStreamEvent.options[1],
  OwnStreamEvent,
  StreamFailure,
  ModelList,
  Model,
  ModelDefaults: Model.shape.defaults,
  OperatingPoint,
  Measurement: OperatingPoint.shape.measured.unwrap(),
  Health,
  Readiness,
  Problem,
  ProblemError: Problem.shape.error,
  FieldProblem: Problem.shape.errors.element,
  JobSummary,
  JobList,
  VerdictLedger,
  Choice: VerdictLedger.shape.choice.unwrap(),
  CandidateAccount,
  CandidateVerdict: CandidateAccount.shape.verdicts.element,
  CandidateList,
  JobImages,
  JobImage: JobImages.shape.data.element,
  ScoreRequest,
  ScoreRequestItem,
  ScoreRecord,
  ScoredItem: ScoreRecord.shape.data.element.options[0],
  RefusedItem: ScoreRecord.shape.data.element.options[1],
  ScoreAnswers,
  ScoreCost,
  WebhookSecret,
  WebhookMessage,
  WebhookData: WebhookMessage.shape.data,
  KeyRequest,
  BudgetRequest,
  CachePurge,
  ErasedTenant,
  TakenDown,
  RevisionPurge,
  ApiKey,
  KeyLimits,
  CreatedApiKey,
  TenantAccount,
  Budget,
} as const
export type SchemaName = keyof typeof SCHEMAS

export const ref = (name: SchemaName): Json => ({ $ref: `#/components/schemas/${name}` })

/** What the document's components hold: every schema by its name, with the names and sizes that the models bring. */
export function componentSchemas(models: readonly ModelCard[], aliases: readonly string[]): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: 'input',
    override: ({ jsonSchema }) => simplifyTuple(jsonSchema),
  })
  nameWhatIsServed(schemas, models, aliases)
  separateTypes(schemas)
  for (const request of REQUESTS) permitNull(schemas[request] as Json)
  for (const union of UNIONS) tellByType(schemas, schemas[union] as Json)
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, withoutAddress(schema)]))
}

/** Alike members need no list of them, which some readers of the document do not know. */
function simplifyTuple(schema: Json): void {
  const { prefixItems } = schema
  if (!Array.isArray(prefixItems)) return
  delete schema.prefixItems
  schema.items = prefixItems[0]
}

/**
 * Alternatives as generators know them, everywhere inside a schema: no list of types, and of named objects, which exclude each other,
 * exactly one. Where several might hold, openapi-generator's TypeScript asks for the members of all.
 */
function separateTypes(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  const own = schema as Json
  if (Array.isArray(own.type)) {
    own.anyOf = own.type.map((type) => ({ type }))
    delete own.type
  }
  if (Array.isArray(own.anyOf) && own.anyOf.every((choice: Json) => '$ref' in choice)) {
    own.oneOf = own.anyOf
    delete own.anyOf
  }
  for (const part of Object.values(own)) separateTypes(part)
}

/** What only the list of models can tell: names and sizes that a request may have. */
function nameWhatIsServed(schemas: Json, models: readonly ModelCard[], aliases: readonly string[]): void {
  if (models.length === 0) return
  const served: Json = {
    model: [...models.map(({ id }) => id), ...aliases],
    verifier: [...new Set(models.flatMap(({ verifiers }) => verifiers))],
    size: [...new Set(models.flatMap(({ imageSize }) => sizesOf(imageSize)))],
  }
  for (const request of ['JobRequest', 'ImageRequest', 'ParmOptions']) {
    const { properties } = schemas[request] as { properties: Record<string, Json> }
    for (const [member, known] of Object.entries(served)) if (properties[member]) properties[member].enum = known
  }
  Object.assign(schemas, scoreRequestForms(schemas, models, served.model as string[]))
}

/** What requests are made of, whose optional members may be null. */
const REQUESTS = [
  'JobRequest',
  'ImageRequest',
  'ParmOptions',
  'ScoreOnePicture',
  'ScoreSeveralPictures',
  'KeyRequest',
  'BudgetRequest',
]

/** As `withoutNulls` has it: null means absent. */
function permitNull(schema: Json): void {
  const { properties = {}, required = [] } = schema as { properties?: Record<string, Json>; required?: string[] }
  for (const [name, member] of Object.entries(properties)) {
    const { additionalProperties } = member
    if (member.type === 'object' && typeof additionalProperties === 'object') {
      member.additionalProperties = orNull(additionalProperties as Json)
    }
    if (!required.includes(name)) properties[name] = orNull(member)
  }
}

function orNull({ description, ...schema }: Json): Json {
  const isNull = schema.const === null
  return {
    ...(description === undefined ? {} : { description }),
    ...(isNull ? schema : { anyOf: [schema, { type: 'null' }] }),
  }
}

const UNIONS = ['JobEvent', 'ImageStreamEvent']

/** Generators read the discriminator, not the constants. */
function tellByType(schemas: Json, union: Json): void {
  const mapping = (union.oneOf as { $ref: string }[]).map(({ $ref }) => {
    const { properties } = schemas[$ref.split('/').at(-1) ?? ''] as { properties: { type: { const: string } } }
    return [properties.type.const, $ref]
  })
  union.discriminator = { propertyName: 'type', mapping: Object.fromEntries(mapping) }
}

/** By the type that each has. */
function namedEvents<E extends z.ZodObject<{ type: z.ZodLiteral<string> }>>(options: readonly E[], ending: string) {
  return Object.fromEntries(
    options.map((event) => {
      const type = event.shape.type.value
      return [type.charAt(0).toUpperCase() + type.slice(1) + ending, event] as const
    }),
  )
}

/** A schema that the document has in place, not by name. */
export function schemaOf(schema: z.ZodType): Json {
  return withoutAddress(z.toJSONSchema(schema))
}

/** Inside an OpenAPI document the components section is the address. */
function withoutAddress({ $schema: _, $id: __, ...rest }: Json): Json {
  return rest
}
