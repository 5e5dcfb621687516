import { scoreRoute } from '../../shared/routes.ts'
import type { ScoreRecord } from '../../shared/score-record.ts'
import type { ScoreRequest } from '../score-request.ts'
import { named } from './names.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WorkOptions, workHeaders } from './work-options.ts'

const SCORES = '/v1/scores'

/** What the verifiers say about given pictures. */
export class ScoreCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Waits for the scores. Aborting `signal` gives them up, unless others wait for the same or an idempotency key was sent. */
  score(request: ScoreRequest, options: WorkOptions = {}): Promise<ScoreRecord> {
    return this.#transport.json('ScoreRecord', this.#asked(request, options))
  }

  /** Does not wait: the record, under way or ended. */
  scoreAsync(request: ScoreRequest, options: WorkOptions = {}): Promise<ScoreRecord> {
    const call = this.#asked(request, options)
    return this.#transport.json('ScoreRecord', { ...call, headers: { ...call.headers, prefer: 'respond-async' } })
  }

  async get(id: string, options: CallOptions = {}): Promise<ScoreRecord> {
    return this.#transport.json('ScoreRecord', { method: 'GET', path: scoreRoute(named('id', id)), ...options })
  }

  /** @returns the record; one that has ended stays as it is */
  async cancel(id: string, options: CallOptions = {}): Promise<ScoreRecord> {
    return this.#transport.json('ScoreRecord', { method: 'DELETE', path: scoreRoute(named('id', id)), ...options })
  }

  #asked(body: ScoreRequest, options: WorkOptions) {
    return { method: 'POST', path: SCORES, body, ...options, headers: workHeaders(options) } as const
  }
}
