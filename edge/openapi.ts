import * as z from 'zod'
import { KeyId, TenantName } from '../shared/api-key.ts'
import type { ErrorCode } from '../shared/error-code.ts'
import { JobId, ScoreId, Sha256Hex } from '../shared/job.ts'
import { JOB_STATUSES } from '../shared/job-status.ts'
import { LIMITS, OUTPUT_COMPRESSION } from '../shared/limits.ts'
import type { ModelCard } from '../shared/model-card.ts'
import { PICTURE_FORMATS, PICTURE_TYPES } from '../shared/picture-format.ts'
import { HTTP_STATUS, STATUS_TITLE } from './error-response.ts'
import { CURSOR_PATTERN } from './job-list.ts'
import { componentSchemas, type Json, ref, type SchemaName, schemaOf } from './openapi-schemas.ts'
import { sizesOf } from './picture-codec.ts'
import { CANCEL_AFTER_PATTERN, IDEMPOTENCY_KEY_PATTERN } from './request-terms.ts'

/**
 * A stream of server-sent events. OpenAPI 3.1 has no word for what one event is, and readers of it refuse that of 3.2
 * (`itemSchema`), so it stands in an extension, in which data is JSON of one of these. The schema itself is read as that of the whole text
 * by generators and as that of each event by others, and both are right.
 */
const streamOf = (...names: [SchemaName, ...SchemaName[]]): Json => ({
  'text/event-stream': {
    schema: { anyOf: [{ type: 'string' }, { type: 'object' }] },
    'x-itemSchema': eventOf(...names),
  },
})
const eventOf = (...names: [SchemaName, ...SchemaName[]]): Json => ({
  type: 'object',
  required: ['data'],
  properties: {
    id: { type: 'string' },
    event: { type: 'string' },
    data: {
      type: 'string',
      contentMediaType: 'application/json',
      contentSchema: names.length === 1 ? ref(names[0]) : { oneOf: names.map(ref) },
    },
  },
})
const json = (name: SchemaName, example?: unknown): Json => ({
  'application/json': { schema: ref(name), ...(example === undefined ? {} : { example }) },
})

const HEADERS = {
  requestId: {
    'x-request-id': {
      description: "Names this answer in our log; the request's own, if that was a UUID.",
      schema: { type: 'string', format: 'uuid' },
    },
  },
  location: { location: { description: "The job's address.", schema: { type: 'string' } } },
  cacheStatus: {
    'cache-status': {
      description:
        'RFC 9211: hit; or fwd=miss, with stored and collapsed; or fwd=request, where Cache-Control asked for work.',
      schema: { type: 'string' },
    },
  },
  replayed: {
    'idempotency-replayed': {
      description: 'true: the Idempotency-Key had been seen; this is the job of its first request.',
      schema: { type: 'string', enum: ['true'] },
    },
  },
  serverTiming: {
    'server-timing': {
      description: 'queue, gpu and, as part of gpu, verify, in milliseconds; of an answer that waited for its job.',
      schema: { type: 'string' },
    },
  },
  rateLimit: {
    'ratelimit-policy': {
      description: 'draft-ietf-httpapi-ratelimit-headers: what the key may do. Absent where no key is asked for.',
      schema: { type: 'string' },
    },
    ratelimit: { description: 'The same draft: what is left of it.', schema: { type: 'string' } },
    'x-ratelimit-limit-requests': { description: "As OpenAI's.", schema: { type: 'string' } },
    'x-ratelimit-remaining-requests': { description: "As OpenAI's.", schema: { type: 'string' } },
    'x-ratelimit-reset-requests': { description: "As OpenAI's: `1.5s`, `6m0s`.", schema: { type: 'string' } },
  },
} as const

const WORK_ANSWER_HEADERS = [HEADERS.location, HEADERS.cacheStatus, HEADERS.replayed, HEADERS.rateLimit]

const ok = (description: string, content: Json | undefined, ...headers: Json[]): Json => ({
  description,
  headers: Object.assign({}, HEADERS.requestId, ...headers),
  ...(content ? { content } : {}),
})

/** Every failure an operation can answer with, one entry a status. `internal` and `edge_unavailable` are always possible. */
function failures(...codes: ErrorCode[]): Json {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of [...codes, 'internal', 'config_invalid', 'edge_unavailable'] as ErrorCode[]) {
    const status = HTTP_STATUS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, those]) => [
      String(status),
      {
        description: `${STATUS_TITLE[status]}: ${those.join(', ')}.`,
        headers: HEADERS.requestId,
        content: { 'application/problem+json': { schema: ref('Problem') } },
      },
    ]),
  )
}

const PICTURE = Object.fromEntries(
  PICTURE_TYPES.map((type) => [type, { schema: { type: 'string', format: 'binary', contentMediaType: type } }]),
)

const inPath = (name: string, schema: z.ZodType, description: string): Json => ({
  name,
  in: 'path',
  required: true,
  description,
  schema: schemaOf(schema),
})

const BODY_FAILURES = [
  'invalid_request',
  'invalid_json',
  'unauthorized',
  'model_not_found',
  'body_too_large',
  'body_broken',
  'unsupported_media_type',
  'forbidden',
  'rate_limited',
  'too_many_jobs',
  'budget_exhausted',
  'idempotency_key_reused',
  'idempotency_in_progress',
  'not_cached',
  'content_refused',
  'moderation_unavailable',
  'overloaded',
] as const satisfies ErrorCode[]
/** What a key can be refused for where no work is asked. */
const KEY_FAILURES = ['unauthorized', 'forbidden'] as const satisfies ErrorCode[]
/** How a job can end without a picture; who waits for one gets it as a status. */
const JOB_FAILURES = [
  'job_canceled',
  'job_expired',
  'dead_lettered',
  'bundle_mismatch',
  'model_failed',
] as const satisfies ErrorCode[]

const ADMIN_FAILURES = [
  'invalid_request',
  'invalid_json',
  'unauthorized',
  'tenant_not_found',
  'body_too_large',
  'body_broken',
  'unsupported_media_type',
] as const satisfies ErrorCode[]

const KEY = [{}, { apiKey: [] }]
const OPERATOR = [{ operatorKey: [] }]
const inHeader = (name: string, description: string, pattern?: string): Json => ({
  name,
  in: 'header',
  description,
  schema: { type: 'string', ...(pattern === undefined ? {} : { pattern }) },
})
const inQuery = (name: string, description: string, schema: Json): Json => ({ name, in: 'query', description, schema })
const WORK_HEADERS = [
  inHeader(
    'Idempotency-Key',
    'Requests with the same key make one job, for a day. With another body the key is refused (409).',
    IDEMPOTENCY_KEY_PATTERN,
  ),
  inHeader(
    'Cache-Control',
    'no-cache, max-age: no older result. no-store: no result and no job of others, and none kept. only-if-cached: 504 unless there is a result.',
  ),
  inHeader('Cancel-After', 'Gives the job up by itself after so long: `30`, `30s`, `1m30s`.', CANCEL_AFTER_PATTERN),
]
const tenantParameter = inPath('tenant', TenantName, 'Malformed is answered like unknown.')
const readTokenParameter = inQuery('token', "Stands in for a key: it is in the job's own `eventsUrl`.", {
  type: 'string',
})
const scoreIdParameter = inPath('id', ScoreId, 'A malformed id is answered like an unknown one.')
const WorkId = z.union([JobId, ScoreId])
const EXAMPLE_DIGEST = '0123456789abcdef'.repeat(4)
const jobIdParameter = inPath('id', JobId, 'A malformed id is answered like an unknown one.')

const TAGS = [
  { name: 'Images', description: "OpenAI's way to ask for pictures, and the pictures themselves." },
  { name: 'Jobs', description: 'The same work, followed and explained.' },
  { name: 'Scores', description: 'What the verifiers say about given pictures.' },
  { name: 'Models', description: 'What is served.' },
  { name: 'Service', description: 'How it is.' },
  { name: 'Operator', description: 'Keys, budgets and kept results.' },
] as const

/** By how a path begins; the first that fits. */
const TAG_OF: readonly (readonly [start: string, tag: (typeof TAGS)[number]['name']])[] = [
  ['/v1/images', 'Images'],
  ['/v1/jobs', 'Jobs'],
  ['/v1/webhook-secret', 'Jobs'],
  ['/v1/scores', 'Scores'],
  ['/v1/models', 'Models'],
  ['/admin/', 'Operator'],
  ['/', 'Service'],
]

/** Generators make one class of each tag, and readers see what asks for no key. */
function withTags(paths: Record<string, Record<string, Json>>): Json {
  return Object.fromEntries(
    Object.entries(paths).map(([path, item]) => {
      const tags = TAG_OF.flatMap(([start, tag]) => (path.startsWith(start) ? [tag] : [])).slice(0, 1)
      const operations = Object.entries(item).map(([method, operation]) => [
        method,
        { tags, security: [], ...operation },
      ])
      return [path, Object.fromEntries(operations)]
    }),
  )
}

/**
 * The OpenAPI 3.1 document of all public routes, made from the schemas that check requests and shape answers.
 *
 * @param models   for names, sizes and examples; the first is the default
 * @param aliases  other names that requests may have for them
 */
export function openApiDocument(models: readonly ModelCard[], aliases: readonly string[] = []): Json {
  const names = [...models.map(({ id }) => id), ...aliases]
  const modelName = names.length > 0 ? z.enum(names) : z.string().min(1)
  const prompt = models[0]?.examples[0] ?? 'a photo of a red apple'
  return {
    openapi: '3.1.0',
    info: {
      title: 'parm-edge',
      version: '1.0.0',
      description:
        'Text to image, checked while it is made: candidates compete, a verifier judges them at intermediate steps, hopeless ones are dropped, the best one wins. Every judgement is told.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: TAGS,
    paths: withTags({
      '/v1/images/generations': {
        post: {
          operationId: 'generateImage',
          summary: "OpenAI's image generation: waits for the picture, or streams it with `stream: true`.",
          description:
            "With `Prefer: respond-async` the job is answered at once (200 when it was in cache). A caller who leaves gives the job up, unless it sent an Idempotency-Key; work that others joined goes on for them. In a stream a failure is an `error` event holding OpenAI's `error` member.",
          security: KEY,
          parameters: [inHeader('Prefer', 'RFC 7240: respond-async.'), ...WORK_HEADERS],
          requestBody: { required: true, content: json('ImageRequest', { prompt, parm: { candidates: 4 } }) },
          responses: {
            200: ok(
              'The picture; or its stream; or, with respond-async, the finished job.',
              {
                'application/json': { schema: { oneOf: [ref('ImageResponse'), ref('JobRecord')] } },
                ...streamOf('ImageStreamEvent', 'OwnStreamEvent', 'StreamFailure'),
              },
              ...WORK_ANSWER_HEADERS,
              HEADERS.serverTiming,
            ),
            202: ok('Accepted, with respond-async.', json('JobRecord'), ...WORK_ANSWER_HEADERS),
            ...failures(...BODY_FAILURES, 'image_not_found', ...JOB_FAILURES),
          },
        },
      },
      '/v1/images/{sha256}': {
        get: {
          operationId: 'getImage',
          summary: 'One picture, by the SHA-256 of its bytes; never changes.',
          parameters: [
            inPath('sha256', Sha256Hex, 'Malformed is answered like unknown.'),
            {
              name: 'If-None-Match',
              in: 'header',
              description: 'Entity tags seen before.',
              schema: { type: 'string' },
            },
            inHeader('Range', 'One range of bytes; several are answered with the whole.'),
            inHeader('If-Range', 'The entity tag that the range is of.'),
          ],
          responses: {
            200: ok('The picture, in the format that it was made in.', PICTURE),
            206: ok('The part asked for.', PICTURE),
            304: ok('The caller has it.', undefined),
            ...failures('image_not_found', 'range_not_satisfiable'),
          },
        },
      },
      '/v1/jobs': {
        post: {
          operationId: 'createJob',
          summary: 'Accepts a job, joins an identical one under way, or answers from cache.',
          description:
            'Once accepted a job ends in exactly one of succeeded, failed, canceled, expired, whatever happens to queue and workers. A cached answer is the record of the job that made the picture, with `cache` hit and a cost of 0.',
          security: KEY,
          parameters: WORK_HEADERS,
          requestBody: { required: true, content: json('JobRequest', { prompt, seed: 7, candidates: 8 }) },
          responses: {
            200: ok('Answered from cache, or the ended job of a repeat.', json('JobRecord'), ...WORK_ANSWER_HEADERS),
            202: ok('Accepted.', json('JobRecord'), ...WORK_ANSWER_HEADERS),
            ...failures(...BODY_FAILURES),
          },
        },
        get: {
          operationId: 'listJobs',
          summary: "The caller's jobs, newest first.",
          description:
            'A page may hold fewer than `limit` jobs, or none, and still have a next: of what does not fit a look passes over so much.',
          security: KEY,
          parameters: [
            inQuery('limit', `Entries on a page. Default: ${LIMITS.pageJobs.default}.`, {
              type: 'integer',
              minimum: LIMITS.pageJobs.min,
              maximum: LIMITS.pageJobs.max,
            }),
            inQuery('cursor', 'The nextCursor of the page before.', { type: 'string', pattern: CURSOR_PATTERN }),
            inQuery('status', 'Only jobs of this status.', { type: 'string', enum: JOB_STATUSES }),
            inQuery('label', 'Only jobs with this label, NAME:VALUE.', {
              type: 'string',
              pattern: `^[A-Za-z0-9._-]{1,${LIMITS.labels.keyChars}}:`,
            }),
          ],
          responses: { 200: ok('A page.', json('JobList')), ...failures('invalid_request', ...KEY_FAILURES) },
        },
      },
      '/v1/jobs/{id}': {
        get: {
          operationId: 'getJob',
          summary: 'The job as it stands.',
          security: KEY,
          parameters: [jobIdParameter, readTokenParameter],
          responses: { 200: ok('The record.', json('JobRecord')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
        delete: {
          operationId: 'cancelJob',
          summary: 'Gives the job up; one that has ended stays as it is.',
          description:
            'Ends this request only: work that other identical requests joined goes on for them and stops when the last one has left.',
          security: KEY,
          parameters: [jobIdParameter],
          responses: { 200: ok('The record.', json('JobRecord')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
      },
      '/v1/jobs/{id}/verdicts': {
        get: {
          operationId: 'explainJob',
          summary: 'Why this picture: every candidate, its verdicts and its end, and what decided.',
          security: KEY,
          parameters: [jobIdParameter, readTokenParameter],
          responses: { 200: ok('The ledger.', json('VerdictLedger')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
      },
      '/v1/jobs/{id}/candidates': {
        get: {
          operationId: 'listCandidates',
          summary: 'Where each candidate stands: its verdicts and what became of it.',
          security: KEY,
          parameters: [jobIdParameter, readTokenParameter],
          responses: { 200: ok('All of them.', json('CandidateList')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
      },
      '/v1/jobs/{id}/images': {
        get: {
          operationId: 'listJobImages',
          summary: 'The pictures that the job has stored; none until it has succeeded.',
          security: KEY,
          parameters: [
            jobIdParameter,
            readTokenParameter,
            inQuery('output_format', 'Default: png.', { type: 'string', enum: PICTURE_FORMATS }),
            inQuery('output_compression', 'Quality of webp and jpeg. Default: 100.', {
              type: 'integer',
              minimum: OUTPUT_COMPRESSION.min,
              maximum: OUTPUT_COMPRESSION.max,
            }),
            inQuery('size', "As in an image request. Default: auto, the model's own.", {
              type: 'string',
              enum: [...new Set(models.flatMap(({ imageSize }) => sizesOf(imageSize)))],
            }),
          ],
          responses: {
            200: ok('The winner.', json('JobImages')),
            ...failures('job_not_found', 'invalid_request', 'image_not_found', 'service_unavailable', ...KEY_FAILURES),
          },
        },
      },
      '/v1/jobs/{id}/events': {
        get: {
          operationId: 'followJob',
          summary: "The job's events, live, as server-sent events; ends after the terminal one.",
          description:
            '`id` is the position in the log, `event` the type. Resumes after `Last-Event-ID`, or `lastEventId` for a first connection. A comment every 15 s keeps proxies patient. With `Upgrade: websocket` each event is one message, `{"id": POSITION, "event": JobEvent}`, and code 1000 says that the log has ended; a connection closed otherwise is resumed with `lastEventId`. The job does not end with its readers: `DELETE /v1/jobs/{id}` gives it up.',
          security: KEY,
          parameters: [
            jobIdParameter,
            readTokenParameter,
            {
              name: 'Last-Event-ID',
              in: 'header',
              description: 'Last event seen.',
              schema: { type: 'integer', minimum: 0, maximum: 999_999_999_999_999 },
            },
            {
              name: 'lastEventId',
              in: 'query',
              description: 'The same, where headers cannot be set; the header wins.',
              schema: { type: 'integer', minimum: 0, maximum: 999_999_999_999_999 },
            },
          ],
          responses: {
            200: ok('The stream.', streamOf('JobEvent')),
            204: ok('Nothing can follow the position asked for.', undefined),
            ...failures('job_not_found', 'invalid_request', ...KEY_FAILURES),
          },
        },
      },
      '/v1/scores': {
        post: {
          operationId: 'scoreImages',
          summary: 'What verifiers say about given pictures: one as prompt and image, or several as items.',
          description:
            'Waits for the answers; with `Prefer: respond-async` the request is answered at once (200 when it was in cache). They come through the same queue and batch as pictures do and cost what `callRowSteps` of the model says. An item that cannot be scored has an `error` in its place; where that is the only one, or true of all, the request is refused.',
          security: KEY,
          parameters: [inHeader('Prefer', 'RFC 7240: respond-async.'), ...WORK_HEADERS],
          requestBody: { required: true, content: json('ScoreRequest', { prompt, image: EXAMPLE_DIGEST }) },
          responses: {
            200: ok(
              'The answers, in the order of the items; with respond-async, of a request that had ended.',
              json('ScoreRecord'),
              ...WORK_ANSWER_HEADERS,
              HEADERS.serverTiming,
            ),
            202: ok('Accepted, with respond-async.', json('ScoreRecord'), ...WORK_ANSWER_HEADERS),
            ...failures(...BODY_FAILURES, 'image_not_found', 'image_invalid', 'prompt_unread', ...JOB_FAILURES),
          },
        },
      },
      '/v1/scores/{id}': {
        get: {
          operationId: 'getScores',
          summary: 'A request for scores as it stands.',
          security: KEY,
          parameters: [scoreIdParameter],
          responses: { 200: ok('The record.', json('ScoreRecord')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
        delete: {
          operationId: 'cancelScores',
          summary: 'Gives the request up; one that has ended stays as it is.',
          security: KEY,
          parameters: [scoreIdParameter],
          responses: { 200: ok('The record.', json('ScoreRecord')), ...failures('job_not_found', ...KEY_FAILURES) },
        },
      },
      '/v1/models': {
        get: {
          operationId: 'listModels',
          summary: "The models served, in OpenAI's list shape; the first is the default.",
          responses: { 200: ok('The list.', json('ModelList')), ...failures() },
        },
      },
      '/v1/models/{id}': {
        get: {
          operationId: 'getModel',
          summary: 'One model, by its id or an alias.',
          parameters: [inPath('id', modelName, 'An id may hold slashes.')],
          responses: { 200: ok('The model.', json('Model')), ...failures('model_not_found') },
        },
      },
      '/v1/webhook-secret': {
        get: {
          operationId: 'getWebhookSecret',
          summary: "What the caller's tenant checks its webhooks with.",
          security: KEY,
          responses: { 200: ok('The secret.', json('WebhookSecret')), ...failures(...KEY_FAILURES) },
        },
      },
      '/healthz': {
        get: {
          operationId: 'getHealth',
          summary: 'Whether the edge runs and is configured; says nothing about workers.',
          responses: { 200: ok('It does.', json('Health')), ...failures() },
        },
      },
      '/readyz': {
        get: {
          operationId: 'getReadiness',
          summary: 'Whether the edge can take work: its storage answers. The queue may be away; jobs then wait for it.',
          responses: { 200: ok('It can.', json('Readiness')), ...failures('service_unavailable') },
        },
      },
      '/metrics': {
        get: {
          operationId: 'getMetrics',
          summary:
            "What the isolate that answers has counted, for Prometheus; the operator's where keys are asked for.",
          security: [{}, ...OPERATOR],
          responses: {
            200: ok('The text format.', { 'text/plain': { schema: { type: 'string' } } }),
            ...failures('unauthorized'),
          },
        },
      },
      '/admin/v1/tenants/{tenant}': {
        get: {
          operationId: 'getTenant',
          summary: 'Keys, budget and spending of a tenant.',
          security: OPERATOR,
          parameters: [tenantParameter],
          responses: {
            200: ok('The account.', json('TenantAccount')),
            ...failures('tenant_not_found', 'unauthorized'),
          },
        },
        delete: {
          operationId: 'eraseTenant',
          summary: 'Forgets a tenant: keys, budget, requests and their prompts. What is under way is given up.',
          security: OPERATOR,
          parameters: [tenantParameter],
          responses: { 200: ok('Done.', json('ErasedTenant')), ...failures('tenant_not_found', 'unauthorized') },
        },
      },
      '/admin/v1/images/{sha256}': {
        delete: {
          operationId: 'takeDownImage',
          summary: 'Removes a picture and what was made of it, and keeps it from being stored again.',
          security: OPERATOR,
          parameters: [inPath('sha256', Sha256Hex, "The picture's hash.")],
          responses: { 200: ok('Done.', json('TakenDown')), ...failures('image_not_found', 'unauthorized') },
        },
      },
      '/admin/v1/tenants/{tenant}/budget': {
        put: {
          operationId: 'setBudget',
          summary: 'Bounds the row-steps of new work; what was spent in the window under way counts.',
          security: OPERATOR,
          parameters: [tenantParameter],
          requestBody: { required: true, content: json('BudgetRequest', { rowSteps: 1_000_000 }) },
          responses: { 200: ok('The account.', json('TenantAccount')), ...failures(...ADMIN_FAILURES) },
        },
        delete: {
          operationId: 'removeBudget',
          summary: 'Work without bound.',
          security: OPERATOR,
          parameters: [tenantParameter],
          responses: {
            200: ok('The account.', json('TenantAccount')),
            ...failures('tenant_not_found', 'unauthorized'),
          },
        },
      },
      '/admin/v1/tenants/{tenant}/keys': {
        post: {
          operationId: 'createKey',
          summary: 'A new key; this answer alone holds it.',
          security: OPERATOR,
          parameters: [tenantParameter],
          requestBody: { required: true, content: json('KeyRequest', { note: 'the shop', concurrentJobs: 4 }) },
          responses: { 201: ok('The key.', json('CreatedApiKey')), ...failures(...ADMIN_FAILURES) },
        },
      },
      '/admin/v1/tenants/{tenant}/keys/{keyId}': {
        delete: {
          operationId: 'revokeKey',
          summary: 'The key opens nothing from now on; jobs it opened go on.',
          security: OPERATOR,
          parameters: [tenantParameter, inPath('keyId', KeyId, 'Malformed is answered like unknown.')],
          responses: {
            200: ok('The key as it was, with revokedAt.', json('ApiKey')),
            ...failures('tenant_not_found', 'key_not_found', 'unauthorized'),
          },
        },
      },
      '/admin/v1/cache/{jobId}': {
        delete: {
          operationId: 'purgeResult',
          summary:
            "Forgets the kept result of the job's cache key: the next such request opens a job. The job and its image stay.",
          security: OPERATOR,
          parameters: [
            inPath(
              'jobId',
              WorkId,
              'Of any job with that key, or request for scores. Malformed is answered like unknown.',
            ),
          ],
          responses: { 200: ok('Done.', json('CachePurge')), ...failures('job_not_found', 'unauthorized') },
        },
      },
      '/admin/v1/revisions/{revision}/cache': {
        delete: {
          operationId: 'purgeRevision',
          summary: "Forgets all kept results of a bundle's revision, everywhere within a minute. Jobs and images stay.",
          security: OPERATOR,
          parameters: [inPath('revision', Sha256Hex, "A bundle's revision; it need not be served any more.")],
          responses: { 200: ok('Done.', json('RevisionPurge')), ...failures('invalid_request', 'unauthorized') },
        },
      },
      '/openapi.json': {
        get: {
          operationId: 'getOpenApi',
          summary: 'This document.',
          responses: { 200: ok('It.', { 'application/json': { schema: { type: 'object' } } }), ...failures() },
        },
      },
    }),
    // By reference, because openapi-generator makes code that does not compile of a webhook in place.
    webhooks: { jobEnded: { $ref: '#/components/pathItems/JobEnded' } },
    components: {
      pathItems: {
        JobEnded: {
          post: {
            operationId: 'jobEnded',
            tags: ['Jobs'],
            security: [],
            summary: 'How a job ended, to the `webhook` of its request.',
            description:
              'Signed as Standard Webhooks has it (webhook-id, webhook-timestamp, webhook-signature: v1). Any 2xx takes it, 410 ends it, all else is tried again for three days. The webhook-id is the same for all deliveries of a message.',
            requestBody: { required: true, content: json('WebhookMessage') },
            responses: { '2XX': { description: 'Taken.' } },
          },
        },
      },
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'Needed where `GET /healthz` says `access: keys`.' },
        operatorKey: { type: 'http', scheme: 'bearer', description: "The operator's key." },
      },
      schemas: componentSchemas(models, aliases),
    },
  }
}
