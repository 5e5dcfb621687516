/**
 * What the engine needs from outside, and what it offers. Pure types: no onnxruntime, no AWS, no clock of its own.
 * R rows, N image tokens (grid rows x columns), H x W pixels.
 */

import type { Corrections, FusionWeights, Search, TASKS } from '../../../shared/bundle.ts'
import type { AcceptRule, JobParameters, Lane, WIN_REASONS } from '../../../shared/job.ts'
import type { JobEvent } from '../../../shared/job-event.ts'
import type { SavedJob } from './saved-job.ts'
import type { JobMemory } from './trail.ts'

/** One thing that a picture's style is made of, as far as a prompt leaves it open. */
export interface StyleAxisOffer {
  /** >= 1. */
  readonly choices: number
  /** The choice that the prompt names, 0..choices-1; undefined where it names none. */
  readonly named: number | undefined
}

/** A prompt after tokenisation. The generator keeps what it computes of it under `key` until `release`. */
export interface PreparedPrompt {
  readonly key: string
  /** int64 values, maxTokens long, padded: what a verifier is given, without words for a style. */
  readonly ids: readonly number[]
  /** By axis; absent for a model that knows no styles. */
  readonly styles?: readonly StyleAxisOffer[]
  /** Choices that the prompt names beside another one of the same axis, which counts; 0 where left out. */
  readonly stylesLeftOut?: number
  /** Words the model does not know, in order of appearance, without repeats. */
  readonly unknownWords: readonly string[]
  /** Tokens at the prompt's end that found no room, 0 for most prompts. */
  readonly tokensLeftOut: number
  /** The model knows no word of it, so that nobody can say whether a picture is right. */
  readonly isUnread?: boolean
}

/** One row of a tick: one candidate at its own step. */
export interface StepRow {
  /** Image codes, mask token = codebookSize; length N. Read during the call only. */
  readonly tokens: Int32Array
  readonly prompt: PreparedPrompt
  /** Choice of each axis of `prompt.styles`; left out for a model without. */
  readonly style?: readonly number[]
  /** g in `(1+g)*cond - g*uncond`, >= 0. */
  readonly guidance: number
  /** One uniform per position for the categorical draw, 0 <= u < 1; length N. */
  readonly uniform: Float32Array
}

export interface StepOutput {
  /** A sampled code where the token was masked, 0..codebookSize-1; length N. Says nothing where it was known. Owned by the caller. */
  readonly ids: Int32Array
  /**
   * Probability under the guided distribution, 0..1, of the code that stands there after the step: the sampled one, or the present
   * one where the token was known; length N. Owned by the caller.
   */
  readonly prob: Float32Array
}

/** One batched call into the models that has just ended, well or not. */
export interface BatchedCall {
  readonly kind: 'step' | 'decode' | 'judge'
  /** Of the engine's clock. */
  readonly ms: number
  /** Rows by job id. */
  readonly rows: ReadonlyMap<string, number>
}

/** H*W*3 bytes, row-major, RGB. */
export type Pixels = Uint8Array

/**
 * The probability that a generator's opinion of a picture stands for.
 *
 * @param meanLogProb  mean over all positions of ln(probability of the code that stands there after the step), <= 0
 * @param stepCount    of the whole path
 * @returns            0..1
 */
export type CoherenceScale = (meanLogProb: number, stepIndex: number, stepCount: number) => number

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
  /** Share of a path's steps, corrections included, from the first on, that are guided unless a job says otherwise; 0..1. */
  readonly guidedShare: number
  /** How it corrects itself, and in how many steps unless a job says otherwise; undefined where it never goes back on a token. */
  readonly corrections: Corrections | undefined
  /** Undefined where the bundle does not tell how its generator's opinion is to be read. */
  readonly coherence: CoherenceScale | undefined

  /** Tokenises `prompt` for a verifier, who needs no prefix; there is nothing to release. */
  read(prompt: string): PreparedPrompt
  /**
   * Tokenises `prompt` and keeps its prefixes, one for each style that a row asks for; the same text twice shares them. Without
   * styles there is one, which is computed when this resolves.
   */
  prepare(prompt: string): Promise<PreparedPrompt>
  /** Gives one `prepare` back; the prefixes are dropped with their last user. */
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

/**
 * What was measured about a verifier when its bundle was written. It is fixed with the bundle's revision, so that what is
 * decided by it can be repeated.
 */
export interface JudgeEconomics {
  /** What decoding and judging one picture costs, in row-steps of the same machine, >= 0. */
  readonly callRowSteps: number
  /**
   * Share of the candidates asked at a listed step that are pruned there, 0..1, at the bundle's thresholds.
   *
   * @param firstPass    steps of the first pass
   * @param corrections  steps after it, >= 0; 0 where left out
   */
  pruneRate(stepIndex: number, firstPass: number, corrections?: number): number
}

export type DefaultSearches = { readonly [rule in AcceptRule]?: Search | undefined }
/** 0..1; 0 where left out. */
export type LeastGains = { readonly [rule in AcceptRule]?: number | undefined }

/** What decisions go by instead of a verifier's answer alone, by question. */
export type Fusion = { readonly [task in 'alignment' | 'potential']?: FusionWeights | undefined }

/** A verifier of a bundle. */
export interface Verifier {
  readonly name: string
  /** The questions that it answers. Default: all. */
  readonly tasks?: readonly (typeof TASKS)[number][]
  readonly thresholds: Judgement
  /** Absent where the bundle does not tell; every listed step is judged then. */
  readonly economics?: JudgeEconomics
  /** What strategy `parm` does beyond the paper unless a job says otherwise; `plain` where left out. */
  readonly search?: DefaultSearches
  /** Where strategy `parm` ends a job early unless the job says otherwise; see `Stopping`. */
  readonly leastGain?: LeastGains
  /** Absent where decisions go by its answers; used where the generator has a coherence. */
  readonly fusion?: Fusion
  /**
   * Step indices of the first pass at which a run is judged, ascending, never the last step of the run.
   *
   * @param firstPass    steps of the first pass
   * @param corrections  steps after it, >= 0; 0 where left out
   */
  judgedSteps(firstPass: number, corrections?: number): readonly number[]
  /** Row i of the answer belongs to row i of the question and does not depend on the others. */
  judge(rows: readonly { readonly pixels: Pixels; readonly prompt: PreparedPrompt }[]): Promise<Judgement[]>
}

/** Milliseconds, monotonic; only differences mean anything. */
export interface Clock {
  now(): number
}

/**
 * Which of a verifier's judged steps are judged in a `parm` run.
 * listed: all of them. worthwhile: those where the bundle's own measurements say that pruning saves more than the call
 * costs; all where the bundle has none. adaptive: the same by what this process has measured; pictures may differ
 * between two runs of one job, so it is not for cached answers.
 */
export const JUDGE_RULES = ['listed', 'worthwhile', 'adaptive'] as const
export type JudgeRule = (typeof JUDGE_RULES)[number]

/** Overrides of a verifier's own settings, for research. */
export interface Judging {
  /** Default `worthwhile`. */
  readonly rule?: JudgeRule
  /** Step indices to judge instead of the verifier's own, corrections counted on, never the last step; `rule` is not applied to them. */
  readonly steps?: readonly number[]
  /** Each 0..1; what is left out is the verifier's own. */
  readonly thresholds?: Partial<Judgement>
  /** 0..1, as of `Stopping`; 0 looks at all candidates. */
  readonly leastGain?: number
}

/** A job as the engine sees it: parameters are valid and belong to the loaded bundle. */
export interface EngineJob {
  readonly id: string
  readonly parameters: Pick<
    JobParameters,
    'prompt' | 'seed' | 'candidates' | 'strategy' | 'accept' | 'steps' | 'guidance'
  > &
    /** Default: the generator's. */
    Partial<Pick<JobParameters, 'corrections'>>
  readonly verifier: Verifier
  /** Whether `preview` events are wanted at judged steps and for finished candidates. */
  readonly previews: boolean
  /** Whose fair share of the row-steps the job is served from. Default: one nameless tenant. */
  readonly tenant?: string
  /** Default `interactive`. */
  readonly lane?: Lane
  /** Milliseconds from submission to the deadline; without it the job takes the time it takes. */
  readonly remainingMs?: number
  /** Default: the verifier's for strategy `parm`, otherwise `plain`. */
  readonly search?: Search
  readonly judging?: Judging
  /** Share of all steps, corrections included, from the first on, that are guided, 0..1. Default: the generator's. */
  readonly guidedShare?: number
  /** Where another engine put the job down; it must have had the same parameters, verifier, search and bundle. */
  readonly resumeFrom?: SavedJob
  /** Of a job of the same bundle that differed in its number of candidates only; what does not fit is done anew. Not used with `resumeFrom`. */
  readonly recalls?: JobMemory
  /** Whether the outcome shall carry a `memory`. */
  readonly remembers?: boolean
}

type EventOf<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>

/** What the engine says while a job runs. Pictures are raw pixels here; encoding them is the sink's business. */
export type EngineEvent =
  | EventOf<'candidate'>
  | EventOf<'verdict'>
  | { type: 'preview'; candidate: number; stepIndex: number; pixels: Pixels }

/** deadline: the best that there was when the time ran out, so another run may end otherwise. The others: `JobResult`. */
export type WinReason = (typeof WIN_REASONS)[number]

/**
 * How a job ended. The engine never throws for a job; a failed model call fails the jobs of that tick, and a job whose
 * deadline found nothing begun fails with `job_expired`.
 */
export type EngineOutcome =
  | {
      status: 'succeeded'
      pixels: Pixels
      /** Final image codes, length N. */
      codes: Int32Array
      candidate: number
      alignment: number | undefined
      reason: WinReason
      cost: {
        rowSteps: number
        /** Known from an earlier job's memory; 0 without one. */
        rowStepsReused: number
        rowStepsSaved: number
        judgeCalls: number
        candidatesStarted: number
        workMs: number
      }
      /** What of the prompt the model could not take, in sentences. */
      warnings: readonly string[]
      /** For a job of another number of candidates; absent where none was asked for, or where the job was resumed. */
      memory?: JobMemory
    }
  /** `saved`: from where it can go on, if it was handed back and anything had been done. */
  | { status: 'stopped'; saved?: SavedJob }
  | { status: 'failed'; error: unknown }

export interface RunningJob {
  readonly id: string
  /** Settles once, never rejects. */
  readonly outcome: Promise<EngineOutcome>
  /** @returns row-steps that it has taken so far, those before `resumeFrom` included; an integer >= 0, also when it has ended */
  rowSteps(): number
  /** Ends the job before the next tick; its slots are free in that tick. A settled job ignores it. */
  stop(): void
  /** Puts the job down before the next tick, to be gone on with elsewhere. A settled job ignores it. */
  handBack(): void
  /** Ends single candidates at the caller's wish; unknown or ended ones are ignored. */
  cancelCandidates(candidates: readonly number[]): void
  /** Replaces the deadline; milliseconds from now. */
  moveDeadline(remainingMs: number): void
}

/** One picture that somebody wants judged, whoever made it. */
export interface ScoreQuestion {
  readonly pixels: Pixels
  readonly prompt: PreparedPrompt
  readonly verifier: Verifier
}

/** Pictures to be judged and nothing else: no candidate, no slot. */
export interface ScoreJob {
  readonly id: string
  readonly questions: readonly ScoreQuestion[]
  /** As of an EngineJob. */
  readonly tenant?: string
  readonly lane?: Lane
  readonly remainingMs?: number
}

export type ScoreOutcome =
  /** By question. `workMs`: from the first tick with a question in it. */
  | { status: 'answered'; answers: readonly Judgement[]; workMs: number }
  | { status: 'stopped' }
  | { status: 'failed'; error: unknown }

/** As a RunningJob. There is nothing to put down: what is handed back is asked anew elsewhere. */
export type RunningScore = Omit<RunningJob, 'outcome'> & { readonly outcome: Promise<ScoreOutcome> }

/** The engine's face towards consumer and command line. */
export interface Engine {
  /**
   * Slots that no candidate needs, less the pictures that wait to be scored: what more work could start in the next tick. With accept `first` a job needs one
   * slot at a time; those in which it runs ahead of need count as free, because it gives them up to whoever needs one.
   */
  readonly freeSlots: number
  /**
   * Admits a job; its candidates take slots from the next tick on. Events arrive in order.
   *
   * @throws AppError  invalid_request, when `judging`, `guidedShare` or `remainingMs` is out of range, or `resumeFrom` is of another job
   */
  submit(job: EngineJob, onEvent: (event: EngineEvent) => void): RunningJob
  /**
   * Has pictures judged, in the verifier calls of the ticks to come, beside the candidates that are due there.
   *
   * @throws AppError  invalid_request, when there is no question or `remainingMs` is out of range
   */
  score(job: ScoreJob): RunningScore
  /** Runs ticks while there is work, sleeps without polling when there is none; resolves when `signal` aborts. */
  run(signal: AbortSignal): Promise<void>
}
