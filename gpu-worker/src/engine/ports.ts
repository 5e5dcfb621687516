/**
 * What the engine needs from outside, and what it offers. Pure types: no onnxruntime, no AWS, no clock of its own.
 * R rows, N image tokens (grid rows x columns), H x W pixels.
 */

import type { JobParameters } from '../../../shared/job.ts'
import type { JobEvent } from '../../../shared/job-event.ts'

/** A prompt after tokenisation. The generator keeps its prefix K/V under `key` until `release`. */
export interface PreparedPrompt {
  readonly key: string
  /** int64 values, maxTokens long, padded. */
  readonly ids: readonly number[]
  /** Words the model does not know, in order of appearance, without repeats. */
  readonly unknownWords: readonly string[]
  /** Tokens at the prompt's end that found no room, 0 for most prompts. */
  readonly tokensLeftOut: number
}

/** One row of a tick: one candidate at its own step. */
export interface StepRow {
  /** Image codes, mask token = codebookSize; length N. Read during the call only. */
  readonly tokens: Int32Array
  readonly prompt: PreparedPrompt
  /** g in `(1+g)*cond - g*uncond`, >= 0. */
  readonly guidance: number
  /** One uniform per position for the categorical draw, 0 <= u < 1; length N. */
  readonly uniform: Float32Array
}

export interface StepOutput {
  /** A sampled code for every position, 0..codebookSize-1; length N. Owned by the caller. */
  readonly ids: Int32Array
  /** Probability of each sampled code under the guided distribution, 0..1; length N. Owned by the caller. */
  readonly prob: Float32Array
}

/** H*W*3 bytes, row-major, RGB. */
export type Pixels = Uint8Array

/** The mask-predict generator of a bundle. Every method is asynchronous because the models live in another thread. */
export interface Generator {
  /** Number of image tokens N. */
  readonly tokenCount: number
  /** Also the mask token's id. */
  readonly codebookSize: number
  /** [height, width] in pixels. */
  readonly imageSize: readonly [number, number]
  /** Gumbel noise scale at step 0, >= 0. */
  readonly temperature: number

  /** Tokenises `prompt` and computes its prefix once; the same text twice shares one prefix. */
  prepare(prompt: string): Promise<PreparedPrompt>
  /** Gives one `prepare` back; the prefix is dropped with its last user. */
  release(prompt: PreparedPrompt): void
  /** One guided forward of all rows; output row i belongs to input row i and does not depend on the others. */
  step(rows: readonly StepRow[]): Promise<StepOutput[]>
  /** Codes of length N each, without mask tokens -> pictures. */
  decode(codes: readonly Int32Array[]): Promise<Pixels[]>
}

export interface Judgement {
  readonly clarity: number
  readonly potential: number
  readonly alignment: number
}

/** A verifier of a bundle. */
export interface Verifier {
  readonly name: string
  readonly thresholds: Judgement
  /** Step indices at which a run of `stepCount` steps is judged, ascending, never the last step. */
  judgedSteps(stepCount: number): readonly number[]
  /** Row i of the answer belongs to row i of the question and does not depend on the others. */
  judge(rows: readonly { readonly pixels: Pixels; readonly prompt: PreparedPrompt }[]): Promise<Judgement[]>
}

/** Milliseconds, monotonic; only differences mean anything. */
export interface Clock {
  now(): number
}

/** A job as the engine sees it: parameters are valid and belong to the loaded bundle. */
export interface EngineJob {
  readonly id: string
  readonly parameters: Pick<
    JobParameters,
    'prompt' | 'seed' | 'candidates' | 'strategy' | 'accept' | 'steps' | 'guidance'
  >
  readonly verifier: Verifier
  /** Whether `preview` events are wanted at judged steps and for finished candidates. */
  readonly previews: boolean
}

type EventOf<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>

/** What the engine says while a job runs. Pictures are raw pixels here; encoding them is the sink's business. */
export type EngineEvent =
  | EventOf<'candidate'>
  | EventOf<'verdict'>
  | { type: 'preview'; candidate: number; stepIndex: number; pixels: Pixels }

/** How a job ended. The engine never throws for a job; a failed model call fails the jobs of that tick. */
export type EngineOutcome =
  | {
      status: 'succeeded'
      pixels: Pixels
      /** Final image codes, length N. */
      codes: Int32Array
      candidate: number
      alignment: number | undefined
      reason: 'accepted' | 'best' | 'only' | 'fallback'
      cost: { rowSteps: number; rowStepsSaved: number; judgeCalls: number; candidatesStarted: number; workMs: number }
      /** What of the prompt the model could not take, in sentences. */
      warnings: readonly string[]
    }
  | { status: 'stopped' }
  | { status: 'failed'; error: unknown }

export interface RunningJob {
  readonly id: string
  /** Settles once, never rejects. */
  readonly outcome: Promise<EngineOutcome>
  /** Ends the job before the next tick; its slots are free in that tick. A settled job ignores it. */
  stop(): void
  /** Ends single candidates at the caller's wish; unknown or ended ones are ignored. */
  cancelCandidates(candidates: readonly number[]): void
}

/** The engine's face towards consumer and command line. */
export interface Engine {
  /** Slots not owned by a candidate and not awaited by one: what more work could start in the next tick. */
  readonly freeSlots: number
  /** Admits a job; its candidates take slots from the next tick on, in submission order. Events arrive in order. */
  submit(job: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob
  /** Runs ticks while there is work, sleeps without polling when there is none; resolves when `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}
