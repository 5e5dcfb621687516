import { AppError } from '../../../shared/error-code.ts'
import { checkProbabilities, inputDims, output, tensorContract } from './graph-answers.ts'
import type { BundleContracts, GraphContract } from './graph-contract.ts'
import { openOnFirstProvider, releaseAll, type Sessions } from './graph-sessions.ts'
import { toInt32, toInt64 } from './int64.ts'
import { PrefixTable } from './prefix-table.ts'
import { warmUpRows } from './row-warm-up.ts'
import type { Feed, Session } from './session.ts'
import { addTime, NO_TIME, type SpentTime } from './spent-time.ts'
import type { SplitStep } from './split-step.ts'
import { StepSession } from './step-session.ts'
import { openSplitStep } from './step-sharing.ts'
import type { DetectReply, OpenReply, OpenRequest, StepReply, StepRequest, ThreadCalls } from './thread-messages.ts'

/**
 * The graphs of one bundle, run one at a time inside the model thread. Every answer is checked for shape and range, so
 * that a broken graph is named here and not found later as a strange picture.
 */
export class GraphRunner {
  readonly #contracts: BundleContracts
  readonly #codebookSize: number
  readonly #sessions: Sessions
  /** Takes the steps that `#split` has too many sessions for. */
  readonly #whole: StepSession
  readonly #split: SplitStep | undefined

  private constructor(request: OpenRequest, sessions: Sessions, whole: StepSession, split: SplitStep | undefined) {
    this.#contracts = request.contracts
    this.#codebookSize = request.codebookSize
    this.#sessions = sessions
    this.#whole = whole
    this.#split = split
  }

  /**
   * Opens all graphs on the first provider that can start, checks them against the manifest and runs each once. Shares
   * out the step as `openSplitStep` says.
   *
   * @throws AppError `bundle_invalid`  naming the graph; `config_invalid` when no provider can start
   */
  static async open(request: OpenRequest): Promise<{ runner: GraphRunner; reply: OpenReply }> {
    const { sessions, rowCounts, reply } = await openOnFirstProvider(request)
    try {
      const { prefix, step } = request.contracts
      const [unconditional] = await computePrefixes(sessions.prefix, prefix, request.unconditional, 1)
      const prefixes = new PrefixTable(planesOf(prefix), unconditional as Float32Array)
      const whole = new StepSession(sessions.step, step, request.codebookSize, prefixes)
      await new GraphRunner(request, sessions, whole, undefined).#warmUp(request.unconditional)
      const rowWarmUp =
        rowCounts &&
        (await warmUpRows(pictureGraphs(request, sessions), rowCounts, request.codebookSize, () => performance.now()))
      const split = await openSplitStep(request, reply.provider, whole)
      const runner = new GraphRunner(request, sessions, whole, split)
      return { runner, reply: { ...reply, stepSessions: split?.sessionCount ?? 1, rowWarmUp } }
    } catch (cause) {
      await releaseAll(sessions.all)
      if (cause instanceof AppError && cause.code === 'model_failed') {
        throw new AppError('bundle_invalid', `${cause.message} (trial run after loading)`, { cause })
      }
      throw cause
    }
  }

  /** Time spent inside onnxruntime since the graphs were opened. */
  get spent(): SpentTime {
    const parts = [...this.#sessions.all, ...(this.#split ? [this.#split] : [])]
    return parts.reduce((sum, { spent }) => addTime(sum, spent), NO_TIME)
  }

  async prefix({ keys, ids }: ThreadCalls['prefix']['request']): Promise<undefined> {
    const prefixes = await computePrefixes(this.#sessions.prefix, this.#contracts.prefix, ids, keys.length)
    for (const [index, key] of keys.entries()) {
      const prefix = prefixes[index] as Float32Array
      await this.#split?.addPrefix(key, prefix)
      this.#whole.prefixes.add(key, prefix)
    }
    return undefined
  }

  forget(key: string): void {
    this.#whole.prefixes.drop(key)
    this.#split?.forget(key)
  }

  async step(request: StepRequest): Promise<StepReply> {
    const split = this.#split
    const isEnough = split !== undefined && request.rowCount >= split.sessionCount
    return isEnough ? split.step(request) : this.#whole.step(request)
  }

  async decode({ rowCount, codes }: ThreadCalls['decode']['request']): Promise<Uint8Array<ArrayBuffer>> {
    const session = this.#sessions.decode
    const results = await session.run({
      ids: { type: 'int64', data: toInt64(codes), dims: [rowCount, codes.length / rowCount] },
    })
    return output(session, this.#contracts.decode, results, 'image', rowCount) as Uint8Array<ArrayBuffer>
  }

  async judge({
    verifier,
    rowCount,
    pixels,
    ids,
  }: ThreadCalls['judge']['request']): Promise<Float32Array<ArrayBuffer>> {
    const session = this.#sessions.verifiers.get(verifier)
    if (session === undefined) throw new AppError('model_failed', `the bundle has no verifier ${verifier}`)
    const contract = this.#contracts.verifier
    const results = await session.run({
      image: imageFeed(contract, rowCount, pixels),
      prompt_ids: { type: 'int64', data: toInt64(ids), dims: [rowCount, ids.length / rowCount] },
    })
    const yes = output(session, contract, results, 'yes', rowCount) as Float32Array<ArrayBuffer>
    checkProbabilities(session, 'yes', yes)
    return yes
  }

  async detect({ rowCount, pixels }: ThreadCalls['detect']['request']): Promise<DetectReply> {
    const session = this.#sessions.detector
    const contract = this.#contracts.detector
    if (session === undefined || contract === undefined)
      throw new AppError('model_failed', 'the bundle has no detector')
    const results = await session.run({ image: imageFeed(contract, rowCount, pixels) })
    const hasFaults = contract.outputs.some(({ name }) => name === 'faults')
    const faults = hasFaults ? output(session, contract, results, 'faults', rowCount) : new Float32Array()
    if (hasFaults) checkProbabilities(session, 'faults', faults as Float32Array)
    return {
      perPicture: results.scores?.dims[1] ?? 0,
      boxes: output(session, contract, results, 'boxes', rowCount) as Float32Array<ArrayBuffer>,
      scores: output(session, contract, results, 'scores', rowCount) as Float32Array<ArrayBuffer>,
      labels: toInt32(output(session, contract, results, 'labels', rowCount) as BigInt64Array),
      colors: output(session, contract, results, 'colors', rowCount) as Float32Array<ArrayBuffer>,
      faults: faults as Float32Array<ArrayBuffer>,
    }
  }

  /** Frees all native memory. No call may follow. */
  async release(): Promise<void> {
    await this.#split?.release()
    await releaseAll(this.#sessions.all)
  }

  /** Runs every graph on two rows: shapes that a graph does not declare show here, and not in the first job. */
  async #warmUp(unconditional: Int32Array): Promise<void> {
    const rowCount = 2
    const key = 'warm-up'
    await this.prefix({ keys: [key], ids: unconditional.slice() })
    const tokenCount = Number(tensorContract(this.#contracts.step.outputs, 'ids').dims[1])
    const { ids } = await this.step({
      rowCount,
      tokens: new Int32Array(rowCount * tokenCount).fill(this.#codebookSize),
      uniform: new Float32Array(rowCount * tokenCount).fill(0.5),
      guidance: new Float32Array(rowCount).fill(1),
      prompts: [key, key],
    })
    this.forget(key)
    const pixels = await this.decode({ rowCount, codes: ids })
    const prompts = Int32Array.from([...unconditional, ...unconditional])
    for (const verifier of this.#sessions.verifiers.keys()) {
      await this.judge({ verifier, rowCount, pixels, ids: prompts })
    }
    if (this.#sessions.detector) await this.detect({ rowCount, pixels })
  }
}

/** Whatever makes or reads pictures, the decoder first: every job needs it. */
function pictureGraphs(
  { contracts }: OpenRequest,
  { decode, verifiers, detector }: Sessions,
): { session: Session; contract: GraphContract }[] {
  return [
    { session: decode, contract: contracts.decode },
    ...[...verifiers.values()].map((session) => ({ session, contract: contracts.verifier })),
    ...(detector && contracts.detector ? [{ session: detector, contract: contracts.detector }] : []),
  ]
}

/** Layers times keys and values. */
function planesOf({ outputs }: GraphContract): number {
  const [layers, keyAndValue] = tensorContract(outputs, 'prefix_kv').dims
  return Number(layers) * Number(keyAndValue)
}

/**
 * @param ids    [P * L]
 * @param count  P
 * @returns      of each prompt, as `PrefixTable` wants them
 */
async function computePrefixes(
  session: Session,
  contract: GraphContract,
  ids: Int32Array,
  count: number,
): Promise<Float32Array[]> {
  const results = await session.run({
    prompt_ids: { type: 'int64', data: toInt64(ids), dims: [count, ids.length / count] },
  })
  const all = output(session, contract, results, 'prefix_kv', count) as Float32Array
  const planes = planesOf(contract)
  const length = all.length / planes / count
  return Array.from({ length: count }, (_, prompt) => {
    const prefix = new Float32Array(planes * length)
    for (let plane = 0; plane < planes; plane++) {
      const from = (plane * count + prompt) * length
      prefix.set(all.subarray(from, from + length), plane * length)
    }
    return prefix
  })
}

function imageFeed(contract: GraphContract, rowCount: number, pixels: Uint8Array): Feed {
  return { type: 'uint8', data: pixels, dims: inputDims(contract, 'image', rowCount) }
}
