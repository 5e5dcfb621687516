import type { Checkpoint } from '../../shared/checkpoint.ts'
import { isScoring, type JobParameters, runnableCandidates, type ScoreParameters } from '../../shared/job.ts'
import { isTerminalEvent, type WorkerEvent } from '../../shared/job-event.ts'
import type { JobMemory } from '../../shared/job-memory.ts'
import { LIMITS } from '../../shared/limits.ts'
import type { EventBatch } from '../../shared/worker-protocol.ts'
import type { JobSpec } from './job-store.ts'

/** @returns what a well-formed batch says that cannot be true of its job, in words, or undefined */
export function batchProblem({ events, attempt }: EventBatch, { parameters }: JobSpec): string | undefined {
  for (const [index, event] of events.entries()) {
    const isLast = event.type === 'handed_back' || isTerminalEvent(event)
    if (isLast && index < events.length - 1) {
      return `events.${index} is ${event.type}, which must be the last of its batch`
    }
    if (event.type === 'started' && event.attempt !== attempt) {
      return `events.${index}.attempt is ${event.attempt} in a batch of attempt ${attempt}`
    }
    if (isScoring(parameters)) {
      const problem = scoringProblem(event, parameters)
      if (problem !== undefined) return `events.${index} ${problem}`
      continue
    }
    if (event.type === 'scored') return `events.${index} is scored; the job is for a picture`
    if (event.type === 'handed_back' && event.checkpoint !== undefined) {
      const problem = checkpointProblem(event.checkpoint, parameters)
      if (problem !== undefined) return `events.${index}.checkpoint ${problem}`
    }
    if (event.type === 'remembered') {
      const problem = memoryProblem(event.memory, parameters)
      if (problem !== undefined) return `events.${index}.memory ${problem}`
      continue
    }
    const candidate = event.type === 'succeeded' ? event.result.candidate : 'candidate' in event ? event.candidate : 0
    if (candidate >= parameters.candidates) {
      return `events.${index} names candidate ${candidate}; the job has ${parameters.candidates}, counted from 0`
    }
  }
  return undefined
}

/** As it is stored, but for the pictures of previews, whose storage is bounded apart. */
export function toldBytes({ events }: EventBatch): number {
  return events.reduce((sum, event) => {
    const bytes = JSON.stringify(event).length
    return sum + (event.type === 'preview' ? bytes - event.png.length : bytes)
  }, 0)
}

function scoringProblem(event: WorkerEvent, { items }: ScoreParameters): string | undefined {
  if (event.type === 'scored') {
    const { length } = event.result.items
    return length === items.length ? undefined : `scores ${length} items; there are ${items.length}`
  }
  const isPossible = event.type === 'started' || event.type === 'failed' || event.type === 'handed_back'
  return isPossible ? undefined : `is ${event.type}; the job is for scores`
}

/** Likewise for whoever is given it. */
function memoryProblem(memory: JobMemory, parameters: JobParameters): string | undefined {
  const { length } = memory.trails
  const expected = runnableCandidates(parameters)
  if (length !== expected) return `has ${length} trails; the job runs ${expected} candidates`
  const bytes = JSON.stringify(memory).length
  return bytes > LIMITS.memoryBytes ? `has ${bytes} bytes, more than ${LIMITS.memoryBytes}` : undefined
}

/** What it says of tokens is for the next worker to judge, who knows the bundle. */
function checkpointProblem(checkpoint: Checkpoint, parameters: JobParameters): string | undefined {
  const { length } = checkpoint.candidates
  const expected = runnableCandidates(parameters)
  // Of a prompt that the model has not read one is run, whatever was asked for.
  if (length !== expected && length !== 1) return `has ${length} candidates; the job runs ${expected}`
  const bytes = JSON.stringify(checkpoint).length
  return bytes > LIMITS.checkpointBytes ? `has ${bytes} bytes, more than ${LIMITS.checkpointBytes}` : undefined
}
