import type { Lane } from '../../shared/job.ts'
import type { Engine } from './engine/ports.ts'
import type { ServedModel } from './served-model.ts'
import type { Tracing } from './tracing/job-trace.ts'

/** What the work on one claimed job is done with, whichever of the two kinds it is. */
export interface WorkParts {
  readonly engine: Engine
  readonly model: ServedModel
  readonly workerName: string
  /** Whether the log may say what is asked for. */
  readonly logsPrompts: boolean
  readonly lane: Lane
  readonly tracing: Pick<Tracing, 'follow' | 'forget'>
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** The engine has the work: slots that were promised to it are its own from now on. */
  onSubmitted(): void
  /** Slots may have become free. */
  onRoom(): void
}
