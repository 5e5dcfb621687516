import { type JobList, type JobSummary, LabelName } from '../shared/job-record.ts'
import { isTerminal, JOB_STATUSES, type JobStatus } from '../shared/job-status.ts'
import { LIMITS } from '../shared/limits.ts'
import type { Env } from './env.ts'
import { describeValue, invalidRequest } from './field-problems.ts'
import { jobObjectName } from './job-id.ts'
import type { JobEntry, JobQuery, ListPlace } from './objects/tenant-store.ts'

export interface JobListQuery {
  limit: number
  before: { createdAt: number; id: string } | undefined
  status: JobStatus | undefined
  label: { name: string; value: string } | undefined
}

/**
 * @param query  of the address; a repeated parameter's first value counts
 * @throws AppError `invalid_request`
 */
export function parseJobListQuery(query: Record<string, string | undefined>): JobListQuery {
  const { min, max, default: fallback } = LIMITS.pageJobs
  const { limit = String(fallback), cursor, status, label } = query
  const count = Number(limit)
  if (!/^\d{1,9}$/.test(limit) || count < min || count > max) {
    throw wrong('limit', limit, `an integer from ${min} to ${max}`)
  }
  const before = cursor === undefined ? undefined : decodeCursor(cursor)
  if (cursor !== undefined && !before) throw wrong('cursor', cursor, 'the nextCursor of an earlier page')
  const known = JOB_STATUSES.find((name) => name === status)
  if (status !== undefined && !known) throw wrong('status', status, `one of ${JOB_STATUSES.join(', ')}`)
  const colon = label?.indexOf(':') ?? -1
  if (label !== undefined && !LabelName.safeParse(label.slice(0, Math.max(colon, 0))).success) {
    throw wrong('label', label, 'a name of A-Z a-z 0-9 . _ -, a colon and a value')
  }
  return {
    limit: count,
    before,
    status: known,
    label: label === undefined ? undefined : { name: label.slice(0, colon), value: label.slice(colon + 1) },
  }
}

/**
 * One page of a tenant's jobs, newest first. Whether an unfinished job waits or runs is asked of the job itself, and of what
 * does not fit only so much is passed over at a time. So a page may hold fewer than `limit`, or none, and still have a next.
 */
export async function listJobs(env: Env, tenant: string, query: JobListQuery): Promise<JobList> {
  const { limit, before, status, label } = query
  const state = status === undefined ? undefined : isTerminal(status) ? status : 'open'
  const tenantQuery: JobQuery = { limit, before, state, label }
  const { entries, next } = await env.TENANT.getByName(tenant).list(tenantQuery)
  const summaries = await Promise.all(entries.map((entry) => summaryOf(env, entry)))
  return {
    object: 'list',
    data: summaries.filter(
      (summary) => summary !== undefined && (!status || summary.status === status),
    ) as JobSummary[],
    ...(next ? { nextCursor: encodeCursor(next) } : {}),
  }
}

/** @returns undefined for a job that was never opened: the edge died between the tenant's books and the job */
async function summaryOf(env: Env, entry: JobEntry): Promise<JobSummary | undefined> {
  const { id, cache, prompt, lane, labels, createdAt, ended } = entry
  const now = ended ? { status: ended.status, finishedAt: ended.at } : await liveStatus(env, id)
  if (!now) return undefined
  return { id, ...now, cache, prompt, lane, ...(Object.keys(labels).length > 0 ? { labels } : {}), createdAt }
}

async function liveStatus(env: Env, id: string): Promise<Pick<JobSummary, 'status' | 'finishedAt'> | undefined> {
  return env.JOB.getByName(jobObjectName(id)).status(id)
}

/** Where a page ended: milliseconds since the epoch, and the job's id without its prefix. */
export const CURSOR_PATTERN = '^([0-9]{1,15})-([0-9a-z]{26})$'
const CURSOR = new RegExp(CURSOR_PATTERN)

function encodeCursor({ createdAt, id }: ListPlace): string {
  return `${createdAt}-${id.replace('job_', '')}`
}

function decodeCursor(cursor: string): JobListQuery['before'] {
  const [, createdAt, id] = CURSOR.exec(cursor) ?? []
  return createdAt === undefined ? undefined : { createdAt: Number(createdAt), id: `job_${id}` }
}

function wrong(field: string, value: string, permitted: string) {
  return invalidRequest([{ field, problem: describeValue(value), permitted }])
}
