import { describe, expect, it } from 'vitest'
import { encodeGraph } from '../../../gpu-worker/src/models/onnx-graph.ts'
import { probeProvider } from '../../../gpu-worker/src/models/provider-probe.ts'
import { openSession } from '../../../gpu-worker/src/models/session.ts'

describe('a probe of an execution provider', () => {
  it('finds nothing to say against the CPU', async () => {
    expect(await probeProvider('cpu')).toBeUndefined()
  })

  it('says in one sentence why CUDA cannot be used where its libraries are missing', async () => {
    const why = await probeProvider('cuda')
    // A machine with CUDA installed has nothing to say; everywhere else the sentence names the provider.
    if (why !== undefined) expect(why).toMatch(/^cuda: .{10}/)
  })
})

describe('a graph written here', () => {
  it('is read and computed by onnxruntime, constants, large dimensions and all', async () => {
    const [rows, columns] = [2, 300]
    const weights = Float32Array.from({ length: 3 * columns }, (_, index) => index % 7)
    const model = encodeGraph({
      inputs: [{ name: 'a', type: 'float32', dims: [rows, 3] }],
      outputs: [{ name: 'product', type: 'float32', dims: [rows, columns] }],
      constants: [{ name: 'b', type: 'float32', dims: [3, columns], data: weights }],
      nodes: [{ op: 'MatMul', inputs: ['a', 'b'], outputs: ['product'] }],
    })
    const session = await openSession('written', model, 'cpu', 1)
    const a = Float32Array.of(1, 0, 0, 0, 1, 2)
    const { product } = await session.run({ a: { type: 'float32', data: a, dims: [rows, 3] } })
    expect(session.spent.ms).toBeGreaterThan(0)
    await session.release()
    const expected = Array.from({ length: columns }, (_, column) => [
      weights[column] as number,
      (weights[columns + column] as number) + 2 * (weights[2 * columns + column] as number),
    ])
    expect(product?.dims).toEqual([rows, columns])
    expect([...(product?.data ?? [])]).toEqual([
      ...expected.map(([first]) => first),
      ...expected.map(([, second]) => second),
    ])
  })
})
