import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { type BundleContracts, checkOutputDims, type GraphContract, type TensorContract } from './graph-contract.ts'
import { openOnFirstProvider, releaseAll, type Sessions } from './graph-sessions.ts'
import { toInt32, toInt64 } from './int64.ts'
import { PrefixTable } from './prefix-table.ts'
import type { Feed, Result, Session } from './session.ts'
import { addTime, NO_TIME, type SpentTime } from './spent-time.ts'
import type { DetectReply, OpenReply, OpenRequest, StepReply, StepRequest, ThreadCalls } from './thread-messages.ts'

/**
 * The graphs of one bundle, run one at a time inside the model thread. Every answer is checked for shape and range, so
 * that a broken graph is named here and not found later as a strange picture.
 */
export class GraphRunner {
  readonly #contracts: BundleContracts
  readonly #codebookSize: number
  readonly #sessions: Sessions
  readonly #prefixes: PrefixTable

  private constructor(request: OpenRequest, sessions: Sessions, prefixes: PrefixTable) {
    this.#contracts = request.contracts
    this.#codebookSize = request.codebookSize
    this.#sessions = sessions
    this.#prefixes = prefixes
  }

  /**
   * Opens all graphs on the first provider that can start, checks them against the manifest and runs each once.
   *
   * @throws AppError `bundle_invalid`  naming the graph; `config_invalid` when no provider can start
   */
  static async open(request: OpenRequest): Promise<{ runner: GraphRunner; reply: OpenReply }> {
    const { sessions, reply } = await openOnFirstProvider(request)
    try {
      const { prefix } = request.contracts
      const unconditional = await computePrefix(sessions.prefix, prefix, request.unconditional)
      const [layers, keyAndValue] = tensorContract(prefix.outputs, 'prefix_kv').dims
      const planes = Number(layers) * Number(keyAndValue)
      const runner = new GraphRunner(request, sessions, new PrefixTable(planes, unconditional))
      await runner.#warmUp(request.unconditional)
      return { runner, reply }
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
    return this.#sessions.all.reduce((sum, session) => addTime(sum, session.spent), NO_TIME)
  }

  async prefix(request: ThreadCalls['prefix']['request']): Promise<undefined> {
    this.#prefixes.add(request.key, await computePrefix(this.#sessions.prefix, this.#contracts.prefix, request.ids))
    return undefined
  }

  forget(key: string): void {
    this.#prefixes.drop(key)
  }

  async step(request: StepRequest): Promise<StepReply> {
    const { rowCount, tokens, uniform, guidance, prompts } = request
    const { kv, promptCount, rowOf } = this.#prefixes.rows(prompts)
    const rowPrompt = BigInt64Array.from(prompts, (key) => BigInt(rowOf.get(key) ?? 0))
    const session = this.#sessions.step
    const contract = this.#contracts.step
    const results = await session.run({
      tokens: { type: 'int64', data: toInt64(tokens), dims: [rowCount, tokens.length / rowCount] },
      prefix_kv: { type: 'float32', data: kv, dims: inputDims(contract, 'prefix_kv', promptCount) },
      row_prompt: { type: 'int64', data: rowPrompt, dims: [rowCount] },
      guidance: { type: 'float32', data: guidance, dims: [rowCount] },
      uniform: { type: 'float32', data: uniform, dims: [rowCount, uniform.length / rowCount] },
    })
    const ids = toInt32(output(session, contract, results, 'ids', rowCount) as BigInt64Array)
    const prob = output(session, contract, results, 'prob', rowCount) as Float32Array<ArrayBuffer>
    for (const id of ids) {
      if (id < 0 || id >= this.#codebookSize) throw outOfRange(session, 'ids', id, `0..${this.#codebookSize - 1}`)
    }
    checkProbabilities(session, 'prob', prob)
    return { ids, prob }
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
    return {
      perPicture: results.scores?.dims[1] ?? 0,
      boxes: output(session, contract, results, 'boxes', rowCount) as Float32Array<ArrayBuffer>,
      scores: output(session, contract, results, 'scores', rowCount) as Float32Array<ArrayBuffer>,
      labels: toInt32(output(session, contract, results, 'labels', rowCount) as BigInt64Array),
      colors: output(session, contract, results, 'colors', rowCount) as Float32Array<ArrayBuffer>,
    }
  }

  /** Frees all native memory. No call may follow. */
  async release(): Promise<void> {
    await releaseAll(this.#sessions.all)
  }

  /** Runs every graph on two rows: shapes that a graph does not declare show here, and not in the first job. */
  async #warmUp(unconditional: Int32Array): Promise<void> {
    const rowCount = 2
    const key = 'warm-up'
    await this.prefix({ key, ids: unconditional.slice() })
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

async function computePrefix(session: Session, contract: GraphContract, ids: Int32Array): Promise<Float32Array> {
  const results = await session.run({ prompt_ids: { type: 'int64', data: toInt64(ids), dims: [1, ids.length] } })
  return output(session, contract, results, 'prefix_kv', 1) as Float32Array
}

function imageFeed(contract: GraphContract, rowCount: number, pixels: Uint8Array): Feed {
  return { type: 'uint8', data: pixels, dims: inputDims(contract, 'image', rowCount) }
}

function inputDims(contract: GraphContract, name: string, batch: number): number[] {
  return tensorContract(contract.inputs, name).dims.map((dim) => (dim === 'dynamic' ? batch : Number(dim)))
}

function output(
  session: Session,
  contract: GraphContract,
  results: Readonly<Record<string, Result>>,
  name: string,
  batch: number,
): Result['data'] {
  const result = results[name]
  if (result === undefined) throw new AppError('model_failed', `graph ${session.graph} gave no ${name}`)
  checkOutputDims(session.graph, tensorContract(contract.outputs, name), result.dims, batch)
  return result.data
}

function tensorContract(tensors: readonly TensorContract[], name: string): TensorContract {
  const found = tensors.find((tensor) => tensor.name === name)
  if (found === undefined) throw new InvariantError(`no contract for ${name}`)
  return found
}

function checkProbabilities(session: Session, name: string, values: Float32Array): void {
  // A softmax may round to a hair above 1.
  for (const value of values) if (!(value >= 0 && value <= 1.0001)) throw outOfRange(session, name, value, '0..1')
}

function outOfRange(session: Session, name: string, value: number, range: string): AppError {
  return new AppError('model_failed', `graph ${session.graph} answered ${value} in ${name}, expected ${range}`)
}
