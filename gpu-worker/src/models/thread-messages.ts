/**
 * What the main thread and the model thread say to each other, and the model thread and those it shares its steps with. Typed arrays are transferred, not copied: whoever sends
 * one must not touch it again. R rows, N image tokens, L prompt tokens, H x W pixels.
 */
import type { ErrorCode } from '../../../shared/error-code.ts'
import type { BundleContracts, GraphContract } from './graph-contract.ts'
import type { Provider } from './providers.ts'
import type { RowWarmUp } from './row-warm-up.ts'
import type { SpentTime } from './spent-time.ts'

export interface OpenRequest {
  readonly dir: string
  readonly graphs: {
    readonly prefix: string
    readonly step: string
    readonly decode: string
    /** File by verifier name. */
    readonly verifiers: Readonly<Record<string, string>>
    readonly detector: string | undefined
  }
  readonly contracts: BundleContracts
  readonly codebookSize: number
  /** Prompt ids of the unconditional prompt, [L]. */
  readonly unconditional: Int32Array
  /** Tried in this order. */
  readonly providers: readonly Provider[]
  readonly threads: number
  /** Sessions that share a step on the CPU, 1..threads; undefined: what a trial finds best. */
  readonly stepSessions: number | undefined
}

export interface OpenReply {
  readonly provider: Provider
  /** One sentence for each provider that was tried before and is not used. */
  readonly refused: readonly string[]
  /** Sessions that share a step. */
  readonly stepSessions: number
  /** Rows past which a tick only gets longer; undefined on the CPU, where each row takes its time. */
  readonly rowBudget: number | undefined
  /** Where the graphs that make or read pictures are run with a few numbers of rows only, which is on CUDA. */
  readonly rowWarmUp: RowWarmUp | undefined
}

export interface StepRequest {
  readonly rowCount: number
  /** [R * N], mask token = codebookSize. */
  readonly tokens: Int32Array<ArrayBuffer>
  /** [R * N], 0 <= u < 1. */
  readonly uniform: Float32Array<ArrayBuffer>
  /** [R]. */
  readonly guidance: Float32Array<ArrayBuffer>
  /** Prompt key of each row. */
  readonly prompts: readonly string[]
}

export interface StepReply {
  /** [R * N], 0..codebookSize-1. */
  readonly ids: Int32Array<ArrayBuffer>
  /** [R * N], 0..1. */
  readonly prob: Float32Array<ArrayBuffer>
}

export interface DetectReply {
  /** K, detections per picture. */
  readonly perPicture: number
  /** [R * K * 4], x0, y0, x1, y1 in pixels. */
  readonly boxes: Float32Array<ArrayBuffer>
  /** [R * K], 0..1. */
  readonly scores: Float32Array<ArrayBuffer>
  /** [R * K], index into the detector's classes. */
  readonly labels: Int32Array<ArrayBuffer>
  /** [R * K * C]. */
  readonly colors: Float32Array<ArrayBuffer>
  /** [R * G * G], probability of a fault in each patch; empty for a detector without a fault finder. */
  readonly faults: Float32Array<ArrayBuffer>
}

/** Calls with an answer, by name. */
export interface ThreadCalls {
  open: { request: OpenRequest; reply: OpenReply }
  /** Computes and keeps the prefixes of P prompts; `ids` is [P * L]. */
  prefix: { request: { keys: readonly string[]; ids: Int32Array<ArrayBuffer> }; reply: undefined }
  step: { request: StepRequest; reply: StepReply }
  /** `codes` [R * N] -> `pixels` [R * H * W * 3]. */
  decode: { request: { rowCount: number; codes: Int32Array<ArrayBuffer> }; reply: Uint8Array<ArrayBuffer> }
  /** `pixels` [R * H * W * 3] and `ids` [R * L] -> [R * 3]: clarity, potential, alignment, each 0..1. */
  judge: {
    request: { verifier: string; rowCount: number; pixels: Uint8Array<ArrayBuffer>; ids: Int32Array<ArrayBuffer> }
    reply: Float32Array<ArrayBuffer>
  }
  /** `pixels` [R * H * W * 3]. */
  detect: { request: { rowCount: number; pixels: Uint8Array<ArrayBuffer> }; reply: DetectReply }
  /** Releases the sessions; the thread ends after its answer. */
  close: { request: undefined; reply: undefined }
}

/** How a thread that takes a share of each step opens its session. */
export interface StepThreadRequest {
  /** File name of the step graph, for messages. */
  readonly graph: string
  readonly path: string
  readonly contract: GraphContract
  readonly codebookSize: number
  /** Of this session. */
  readonly threads: number
  /** As `PrefixTable` wants them. */
  readonly planes: number
  readonly unconditional: Float32Array
}

export interface StepThreadCalls {
  open: { request: StepThreadRequest; reply: undefined }
  /** A prefix that the model thread has computed. */
  prefix: { request: { key: string; prefix: Float32Array<ArrayBuffer> }; reply: undefined }
  step: { request: StepRequest; reply: StepReply }
  close: { request: undefined; reply: undefined }
}

/** A table of calls by name. */
export type CallTable<Calls> = { [N in keyof Calls]: { request: unknown; reply: unknown } }

type CallOf<Calls extends CallTable<Calls>> = {
  [N in keyof Calls]: { type: 'call'; id: number; name: N; request: Calls[N]['request'] }
}[keyof Calls]

/** `forget` has no answer: the prefix of `key` is no longer needed. */
export type ToThread<Calls extends CallTable<Calls>> = CallOf<Calls> | { type: 'forget'; key: string }

/** `spent`: time that the thread has spent inside onnxruntime so far. */
export type FromThread =
  | { type: 'answer'; id: number; reply: unknown; spent: SpentTime }
  | { type: 'refusal'; id: number; code: ErrorCode; message: string }
