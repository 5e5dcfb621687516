import type { Strategy } from '../../../shared/job.ts'
import type { EngineOutcome } from '../engine/ports.ts'
import { Registry } from './prometheus.ts'

/** Calls into the models, by what a tick spends its time on; `prefix` happens beside the ticks. */
export type ModelCall = 'prefix' | 'step' | 'decode' | 'judge'
export type OutcomeStatus = EngineOutcome['status']
/** Why row-steps did not lead to a picture that competed. */
export type WasteReason = 'pruned' | 'stopped' | 'job_failed' | 'job_stopped'

/** Seconds. A step of the embedded model takes about 10 ms on two cores, one of a large one some hundred on a GPU. */
const CALL_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]
const JOB_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const QUEUE_SECONDS = [0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]

/**
 * What one worker counts about itself. Rates and ratios are left to queries: slot occupancy over a time is
 * rate(parm_row_steps_total) / (rate(parm_ticks_total) * parm_slots).
 */
export class WorkerMetrics {
  readonly registry = new Registry()
  readonly ticks = this.registry.counter(
    'parm_ticks_total',
    'Turns of the engine that advanced at least one candidate.',
  )
  readonly tickSeconds = this.registry.histogram(
    'parm_tick_seconds',
    'Time of one tick, model calls included.',
    CALL_SECONDS,
  )
  readonly modelSeconds = this.registry.histogram<'call'>(
    'parm_model_call_seconds',
    'Time of one batched model call as the engine waits for it. A tick is step, then decode and judge where due; the rest of parm_tick_seconds is scheduling.',
    CALL_SECONDS,
  )
  readonly rowSteps = this.registry.counter('parm_row_steps_total', 'Candidates advanced by one step.')
  readonly rowStepsSaved = this.registry.counter<'strategy'>(
    'parm_row_steps_saved_total',
    'Row-steps that finishing every candidate of the succeeded jobs would have taken on top.',
  )
  readonly rowStepsWasted = this.registry.counter<'strategy' | 'why'>(
    'parm_row_steps_wasted_total',
    'Row-steps of ended jobs spent on candidates whose final picture never competed.',
  )
  readonly judgedPictures = this.registry.counter<'verifier'>(
    'parm_judged_pictures_total',
    'Pictures shown to a verifier.',
  )
  readonly jobs = this.registry.counter<'strategy' | 'status' | 'reason'>(
    'parm_jobs_total',
    'Jobs that ended in the engine. reason: why the winner won, or none.',
  )
  readonly scoreRequests = this.registry.counter<'status'>(
    'parm_score_requests_total',
    'Requests for scores that ended in the engine.',
  )
  readonly jobSeconds = this.registry.histogram<'strategy'>(
    'parm_job_seconds',
    'Time from submission to the engine to its outcome, of succeeded jobs.',
    JOB_SECONDS,
  )
  readonly queueAgeSeconds = this.registry.histogram<'lane'>(
    'parm_queue_age_seconds',
    'Time a message spent in the queue before this worker received it.',
    QUEUE_SECONDS,
  )

  /** @param read  slots and jobs at the moment of a scrape; before a bundle is open nothing is free */
  watchSlots(read: () => { readonly total: number; readonly free: number; readonly jobs: number }): void {
    this.registry.gauge('parm_slots', 'Rows of the batch.', () => read().total)
    this.registry.gauge('parm_slots_free', 'Slots that nobody owns or waits for.', () => read().free)
    this.registry.gauge('parm_jobs_running', 'Jobs between claim and settled lease.', () => read().jobs)
  }

  /** Memory and processor time of the whole process, under the names that every Prometheus client uses. */
  watchProcess(): void {
    const startedAt = Date.now() / 1000 - process.uptime()
    const { registry } = this
    registry.gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss())
    registry.gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.', () => process.memoryUsage().heapUsed)
    registry.gauge('nodejs_external_memory_bytes', 'Buffers outside the heap.', () => process.memoryUsage().external)
    registry.readCounter('process_cpu_seconds_total', 'Processor time so far, user and system.', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    })
    registry.gauge('process_start_time_seconds', 'Start of the process, seconds since the epoch.', () => startedAt)
  }

  jobEnded(strategy: Strategy, outcome: EngineOutcome, ms: number): void {
    const reason = outcome.status === 'succeeded' ? outcome.reason : 'none'
    this.jobs.add({ strategy, status: outcome.status, reason }, 1)
    if (outcome.status !== 'succeeded') return
    this.jobSeconds.observe({ strategy }, ms / 1000)
    this.rowStepsSaved.add({ strategy }, outcome.cost.rowStepsSaved)
  }
}
