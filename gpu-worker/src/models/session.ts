/**
 * The only importer of onnxruntime-node. `run` blocks the thread that calls it for as long as the graph takes, whatever
 * its promise suggests, so this module belongs into the model thread and nowhere else.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node'
import { AppError } from '../../../shared/error-code.ts'
import { type ElementType, formatDims, type TensorFound } from './graph-contract.ts'
import type { Provider } from './providers.ts'

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
  /** Frees native memory; a session that is never released leaks its weights. */
  release(): Promise<void>
}

/**
 * Loads a graph on one execution provider. A list of providers is not offered: onnxruntime-node throws instead of
 * falling back when the first of a list cannot start.
 *
 * @param threads  intra-op threads, >= 1
 * @throws Error   onnxruntime's own, when the provider cannot start or the file is no valid graph
 */
export async function openSession(graph: string, path: string, provider: Provider, threads: number): Promise<Session> {
  // Read once, before the first session. What onnxruntime would print as an error it also throws, and the thrown text
  // gets the graph's name; its warnings would fill the log at every start.
  env.logLevel = 'fatal'
  const session = await InferenceSession.create(path, {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // Spinning threads of one graph would take the cores from the next graph and from the event loop.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  return {
    graph,
    inputs: session.inputMetadata.map(declared),
    outputs: session.outputMetadata.map(declared),
    async run(feeds) {
      const tensors: Record<string, Tensor> = {}
      for (const [name, feed] of Object.entries(feeds)) tensors[name] = new Tensor(feed.type, feed.data, feed.dims)
      let outputs: InferenceSession.ReturnType
      try {
        outputs = await session.run(tensors)
      } catch (cause) {
        const shapes = Object.entries(feeds).map(([name, feed]) => `${name} ${feed.type} ${formatDims(feed.dims)}`)
        const why = cause instanceof Error ? cause.message : String(cause)
        throw new AppError('model_failed', `graph ${graph} failed on ${shapes.join(', ')}: ${why}`, { cause })
      }
      const results: Record<string, Result> = {}
      for (const [name, value] of Object.entries(outputs)) {
        results[name] = { data: value.data as Result['data'], dims: value.dims }
      }
      return results
    },
    release: () => session.release(),
  }
}

function declared(value: InferenceSession.ValueMetadata): TensorFound {
  return value.isTensor
    ? { name: value.name, type: value.type, dims: value.shape }
    : { name: value.name, type: 'no tensor', dims: [] }
}
