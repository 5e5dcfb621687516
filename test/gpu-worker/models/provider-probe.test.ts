import { describe, expect, it } from 'vitest'
import { encodeGraph } from '../../../gpu-worker/src/models/onnx-graph.ts'
import { probeProvider } from '../../../gpu-worker/src/models/provider-probe.ts'
import { openSession } from '../../../gpu-worker/src/models/session.ts'

describe('a probe of an execution provider', () => {
  it('finds nothing to say against the CPU', async () => {
    expect(await probeProvider('cpu')).toBeUndefined()
  })

  it.each(['cuda', 'webgpu'] as const)(
    'says in one line why %s cannot be used where something is missing',
    async (provider) => {
      const why = await probeProvider(provider)
      // A machine that has it has nothing to say; everywhere else the line names the provider.
      if (why !== undefined) expect(why).toMatch(new RegExp(`^${provider}: .{10,}$`))
    },
  )
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
