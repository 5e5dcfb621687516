import type { Recording } from '../recording/recording.ts'
import type { Method } from './method.ts'
import { type ReplayedPath, replayPath } from './path-replay.ts'

/** A method with what it does to every candidate of a recording. */
export interface ReplayedMethod {
  readonly method: Method
  /** By prompt: its candidates, those of all its pictures together, since all are samples of the same distribution. */
  readonly pools: readonly (readonly ReplayedPath[])[]
}

/** @throws AppError `invalid_request`  when the recording lacks an answer that the method decides by */
export function replayMethod(recording: Recording, method: Method): ReplayedMethod {
  const pools: ReplayedPath[][] = recording.prompts.map(() => [])
  for (const candidate of recording.candidates) pools[candidate.prompt]?.push(replayPath(candidate, method))
  return { method, pools }
}
