/**
 * The page's five calls to the service. Every failure becomes an ApiProblem that a person can read.
 *
 * @import { FieldProblem } from '../../shared/error-code.ts'
 * @import { JobRecord } from '../../shared/job-record.ts'
 * @import { ModelCard } from '../../shared/model-card.ts'
 */

/** @typedef {Record<string, string | number>} JobBody  what POST /v1/jobs takes; absent fields get the model's default */

/** The service said no, or did not answer. */
export class ApiProblem extends Error {
  /**
   * @param {string} message
   * @param {{ code: string, fields?: readonly FieldProblem[], requestId?: string | null, cause?: unknown }} details
   */
  constructor(message, { code, fields = [], requestId = null, cause }) {
    super(message, { cause })
    this.name = 'ApiProblem'
    this.code = code
    this.fields = fields
    this.requestId = requestId
  }
}

/** Where a service asks for one; kept for the tab, never in the link. */
const API_KEY = 'api-key'

/** @param {string} key  empty for none */
export function useApiKey(key) {
  sessionStorage.setItem(API_KEY, key)
}

/** @returns {Record<string, string>} */
function authorization() {
  const key = sessionStorage.getItem(API_KEY)
  return key ? { authorization: `Bearer ${key}` } : {}
}

/** @returns {Promise<ModelCard[]>} the first is the default model */
export async function listModels() {
  const { data } = await (await call('/v1/models')).json()
  return data
}

/**
 * @param {JobBody} body
 * @returns {Promise<JobRecord>}
 */
export async function createJob(body) {
  const response = await call('/v1/jobs', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization() },
    body: JSON.stringify(body),
  })
  /** @type {JobRecord} */
  const record = await response.json()
  // An EventSource cannot send a key; where one is needed, the job's own address holds what stands in for it.
  readTokens.set(record.id, new URL(record.eventsUrl).searchParams.get('token'))
  return record
}

/** @type {Map<string, string | null>} by job id; null where none is needed */
const readTokens = new Map()

/** @param {string} jobId */
export async function cancelJob(jobId) {
  await call(`/v1/jobs/${jobId}`, { method: 'DELETE', headers: authorization() })
}

/**
 * @param {string} jobId
 * @param {number} lastEventId  position already seen; 0 for none
 */
export function eventsUrl(jobId, lastEventId) {
  const query = new URLSearchParams()
  const token = readTokens.get(jobId)
  if (token) query.set('token', token)
  if (lastEventId > 0) query.set('lastEventId', String(lastEventId))
  return query.size > 0 ? `/v1/jobs/${jobId}/events?${query}` : `/v1/jobs/${jobId}/events`
}

/** @param {string} sha256 */
export const imageUrl = (sha256) => `/v1/images/${sha256}`

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>} an ok one
 */
async function call(path, init) {
  /** @type {Response} */
  let response
  try {
    response = await fetch(path, init)
  } catch (cause) {
    throw new ApiProblem('The service cannot be reached. Check the connection and try again.', {
      code: 'unreachable',
      cause,
    })
  }
  if (response.ok) return response
  const requestId = response.headers.get('x-request-id')
  // A proxy in front may answer in HTML; then the status is all there is to tell.
  const problem = await response.json().catch(() => undefined)
  throw new ApiProblem(problem?.error?.message ?? `The service answered with status ${response.status}.`, {
    code: problem?.error?.code ?? `http_${response.status}`,
    fields: problem?.errors ?? [],
    requestId,
  })
}
