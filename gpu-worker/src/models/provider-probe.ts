import { encodeGraph } from './onnx-graph.ts'
import type { Provider } from './providers.ts'
import { openSession } from './session.ts'

const SIZE = 64
/** What a GPU may lose against exact arithmetic; TF32 keeps ten bits of each factor. */
const TOLERANCE = 1e-2

/**
 * Finds out with one small matrix product whether a provider can compute here, before a whole bundle is loaded on it. A
 * driver may load and still leave everything to the processor, so falling back to it counts as a refusal.
 *
 * @returns why the provider cannot be used, in one sentence, or undefined when it can
 */
export async function probeProvider(provider: Provider): Promise<string | undefined> {
  // The CPU is part of onnxruntime itself.
  if (provider === 'cpu') return undefined
  try {
    const largest = await multiply(provider)
    return Math.abs(largest - SIZE) <= TOLERANCE * SIZE
      ? undefined
      : `${provider}: a trial product gave ${largest}, expected ${SIZE}`
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    // Some reasons come with line breaks and a stack of their own.
    return `${provider}: ${why.replaceAll(/\s+/g, ' ').trim()}`
  }
}

/** A product of matrices of ones: every element is their size. */
async function multiply(provider: Provider): Promise<number> {
  const square = { type: 'float32', dims: [SIZE, SIZE] } as const
  const ones = new Float32Array(SIZE * SIZE).fill(1)
  const graph = encodeGraph({
    inputs: [{ name: 'a', ...square }],
    outputs: [{ name: 'product', ...square }],
    constants: [{ name: 'b', ...square, data: ones }],
    nodes: [{ op: 'MatMul', inputs: ['a', 'b'], outputs: ['product'] }],
  })
  const session = await openSession('provider probe', graph, provider, 1, { mustRunOnProvider: true })
  try {
    const { product } = await session.run({ a: { ...square, data: ones } })
    return Math.max(...((product?.data ?? []) as Float32Array))
  } finally {
    await session.release()
  }
}
