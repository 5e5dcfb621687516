import { isTerminalEvent } from '../../shared/job-event.ts'
import type { EventBatch } from '../../shared/worker-protocol.ts'
import type { JobSpec } from './job-store.ts'

/** @returns what a well-formed batch says that cannot be true of its job, in words, or undefined */
export function batchProblem({ events, attempt }: EventBatch, { parameters }: JobSpec): string | undefined {
  for (const [index, event] of events.entries()) {
    if (isTerminalEvent(event) && index < events.length - 1) {
      return `events.${index} is ${event.type}, which must be the last of its batch`
    }
    if (event.type === 'started' && event.attempt !== attempt) {
      return `events.${index}.attempt is ${event.attempt} in a batch of attempt ${attempt}`
    }
    const candidate = event.type === 'succeeded' ? event.result.candidate : 'candidate' in event ? event.candidate : 0
    if (candidate >= parameters.candidates) {
      return `events.${index} names candidate ${candidate}; the job has ${parameters.candidates}, counted from 0`
    }
  }
  return undefined
}
