import type { JobEvent } from '../../shared/job-event.ts'
import type {
  CandidateList,
  JobImages,
  JobList,
  JobRecord,
  JobSummary,
  VerdictLedger,
} from '../../shared/job-record.ts'
import { isTerminal, type JobStatus } from '../../shared/job-status.ts'
import type { PictureFormat } from '../../shared/picture-format.ts'
import { jobCandidatesRoute, jobEventsRoute, jobImagesRoute, jobRoute, jobVerdictsRoute } from '../../shared/routes.ts'
import type { JobRequest } from '../request-schema.ts'
import { ClientError, unreachable } from './client-error.ts'
import { sentEvents } from './event-source.ts'
import { named } from './names.ts'
import type { CallOptions, Transport } from './transport.ts'
import { newIdempotencyKey, type WorkOptions, workHeaders } from './work-options.ts'

export interface FollowOptions extends CallOptions {
  /** Position already seen; only what comes after it is told. Default 0: the whole log. */
  readonly after?: number
  /** Connections in a row that brought nothing before it gives up. Default 6. */
  readonly reconnects?: number
  /** The connection was lost, or is there again. */
  readonly onConnection?: (state: 'interrupted' | 'resumed') => void
}

export interface LoggedEvent {
  /** Position in the job's log: 1, 2, 3 … */
  readonly id: number
  readonly event: JobEvent
}

export interface JobListQuery {
  /** Entries on a page. */
  readonly limit?: number
  readonly cursor?: string
  readonly status?: JobStatus
  /** NAME:VALUE */
  readonly label?: string
}

export interface JobImagesQuery {
  readonly output_format?: PictureFormat
  /** 0..100: quality of webp and jpeg. */
  readonly output_compression?: number
  /** `auto`, the model's own, or of a square model 256x256, 512x512, 1024x1024. */
  readonly size?: string
}

const JOBS = '/v1/jobs'
const RECONNECTS = 6
/** Three of the service's pings. */
const SILENCE_MS = 45_000

/** Jobs: ask, look, list, follow, explain, cancel. */
export class JobCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Without an idempotency key of the caller's it gets one, so that a repeat after a lost answer opens no second job. */
  create(request: JobRequest, options: WorkOptions = {}): Promise<JobRecord> {
    const headers = workHeaders({ idempotencyKey: newIdempotencyKey(), ...options })
    return this.#transport.json('JobRecord', { method: 'POST', path: JOBS, body: request, ...options, headers })
  }

  async get(id: string, options: CallOptions = {}): Promise<JobRecord> {
    return this.#transport.json('JobRecord', { method: 'GET', path: jobRoute(named('id', id)), ...options })
  }

  /** One page, newest first. */
  list(query: JobListQuery = {}, options: CallOptions = {}): Promise<JobList> {
    return this.#transport.json('JobList', { method: 'GET', path: JOBS, query: { ...query }, ...options })
  }

  /** All of them, page by page as they are read. */
  async *listAll(query: Omit<JobListQuery, 'cursor'> = {}, options: CallOptions = {}): AsyncGenerator<JobSummary> {
    let page = await this.list(query, options)
    for (;;) {
      yield* page.data
      if (page.nextCursor === undefined) return
      page = await this.list({ ...query, cursor: page.nextCursor }, options)
    }
  }

  /** @returns the record; a job that has ended stays as it is */
  async cancel(id: string, options: CallOptions = {}): Promise<JobRecord> {
    return this.#transport.json('JobRecord', { method: 'DELETE', path: jobRoute(named('id', id)), ...options })
  }

  async verdicts(id: string, options: CallOptions = {}): Promise<VerdictLedger> {
    return this.#transport.json('VerdictLedger', { method: 'GET', path: jobVerdictsRoute(named('id', id)), ...options })
  }

  async candidates(id: string, options: CallOptions = {}): Promise<CandidateList> {
    return this.#transport.json('CandidateList', {
      method: 'GET',
      path: jobCandidatesRoute(named('id', id)),
      ...options,
    })
  }

  /** @param query  the format that they are wanted in; PNG without it */
  async images(id: string, query: JobImagesQuery = {}, options: CallOptions = {}): Promise<JobImages> {
    return this.#transport.json('JobImages', {
      method: 'GET',
      path: jobImagesRoute(named('id', id)),
      query: { ...query },
      ...options,
    })
  }

  /** @returns the record of the ended job */
  async waitForEnd(id: string, options: CallOptions = {}): Promise<JobRecord> {
    const record = await this.get(id, options)
    if (isTerminal(record.status)) return record
    for await (const _ of this.events(id, options));
    return this.get(id, options)
  }

  /**
   * The job's log, each event once and in order, over as many connections as that takes; ends after the terminal event.
   *
   * @throws ClientError  when the service refuses, or too many connections in a row brought nothing
   */
  async *events(id: string, options: FollowOptions = {}): AsyncGenerator<LoggedEvent> {
    const { after = 0, reconnects = RECONNECTS, onConnection } = options
    const path = jobEventsRoute(named('id', id))
    let seen = after
    let failures = 0
    let isInterrupted = false
    for (;;) {
      try {
        const response = await this.#transport.openOnce({
          method: 'GET',
          path,
          ...options,
          headers: { ...options.headers, 'last-event-id': String(seen) },
        })
        if (isInterrupted) onConnection?.('resumed')
        isInterrupted = false
        // Nothing can follow the position asked for.
        if (response.status === 204 || !response.body) return
        for await (const { id: position = 0, data } of sentEvents(response.body, SILENCE_MS)) {
          if (position <= seen) continue
          seen = position
          failures = 0
          const event = this.#transport.checked<JobEvent>('JobEvent', data, response)
          yield { id: position, event }
          if (isTerminal(event.type)) return
        }
        throw new TypeError('the stream ended before the job did')
      } catch (thrown) {
        options.signal?.throwIfAborted()
        const error = thrown instanceof ClientError ? thrown : unreachable(`GET ${path}`, thrown)
        failures += 1
        if (failures > reconnects || !this.#transport.isRetryable(error)) throw error
        if (!isInterrupted) onConnection?.('interrupted')
        isInterrupted = true
        await this.#transport.pause(error, failures, options.signal)
      }
    }
  }
}
