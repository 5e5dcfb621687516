/**
 * The only importer of onnxruntime-node. `run` blocks the thread that calls it for as long as the graph takes, whatever
 * its promise suggests, so this module belongs into the model thread and nowhere else.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node'
import { AppError } from '../../../shared/error-code.ts'
import { type ElementType, formatDims, type TensorFound } from './graph-contract.ts'
import type { Provider } from './providers.ts'
import { addTime, NO_TIME, type SpentTime, startStopwatch } from './spent-time.ts'

export interface Feed {
  readonly type: ElementType
  readonly data: BigInt64Array | Float32Array | Uint8Array
  readonly dims: readonly number[]
}

export interface Result {
  /** Freshly allocated by the run; the caller owns it. */
  readonly data: BigInt64Array | Float32Array | Uint8Array
  readonly dims: readonly number[]
}

export interface Session {
  /** File name of the graph, for messages. */
  readonly graph: string
  readonly inputs: TensorFound[]
  readonly outputs: TensorFound[]
  /** @throws AppError `model_failed`  naming the graph and the shapes it was given; never its data */
  run(feeds: Readonly<Record<string, Feed>>): Promise<Readonly<Record<string, Result>>>
  /** What all runs so far took: onnxruntime itself, without the way to it. */
  readonly spent: SpentTime
  /** Frees native memory; a session that is never released leaks its weights. Ends a profile. */
  release(): Promise<void>
}

export interface SessionOptions {
  /** Refuse to open the graph if any of it would be left to the CPU. */
  readonly mustRunOnProvider?: boolean
  /** Writes onnxruntime's profile of every run to a file of this name, a date and `.json`; complete after `release`. */
  readonly profile?: string
}

/**
 * Loads a graph on one execution provider. A list of providers is not offered: onnxruntime-node throws instead of
 * falling back when the first of a list cannot start.
 *
 * @param name     of the graph, for messages
 * @param model    path of the graph, or the graph itself
 * @param threads  intra-op threads, >= 1
 * @throws Error   onnxruntime's own, when the provider cannot start or the file is no valid graph
 */
export async function openSession(
  name: string,
  model: string | Uint8Array,
  provider: Provider,
  threads: number,
  options: SessionOptions = {},
): Promise<Session> {
  // Read once, before the first session. What onnxruntime would print as an error it also throws, and the thrown text
  // gets the graph's name; its warnings would fill the log at every start.
  env.logLevel = 'fatal'
  const { mustRunOnProvider = false, profile } = options
  // Two overloads of one function, which TypeScript does not join.
  const session = await InferenceSession.create(model as string, {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // Spinning threads of one graph would take the cores from the next graph and from the event loop.
    extra: {
      session: { intra_op: { allow_spinning: '0' }, ...(mustRunOnProvider && { disable_cpu_ep_fallback: '1' }) },
    },
    ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
  })
  let spent = NO_TIME
  return {
    graph: name,
    inputs: session.inputMetadata.map(declared),
    outputs: session.outputMetadata.map(declared),
    async run(feeds) {
      const tensors: Record<string, Tensor> = {}
      for (const [input, feed] of Object.entries(feeds)) tensors[input] = new Tensor(feed.type, feed.data, feed.dims)
      let outputs: InferenceSession.ReturnType
      const elapsed = startStopwatch()
      try {
        outputs = await session.run(tensors)
        spent = addTime(spent, elapsed())
      } catch (cause) {
        const shapes = Object.entries(feeds).map(([input, feed]) => `${input} ${feed.type} ${formatDims(feed.dims)}`)
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new AppError('model_failed', `graph ${name} failed on ${shapes.join(', ')}: ${why}`, { cause })
      }
      const results: Record<string, Result> = {}
      for (const [output, value] of Object.entries(outputs)) {
        results[output] = { data: value.data as Result['data'], dims: value.dims }
      }
      return results
    },
    get spent() {
      return spent
    },
    async release() {
      if (profile !== undefined) session.endProfiling()
      await session.release()
    },
  }
}

function declared(value: InferenceSession.ValueMetadata): TensorFound {
  return value.isTensor
    ? { name: value.name, type: value.type, dims: value.shape }
    : { name: value.name, type: 'no tensor', dims: [] }
}
