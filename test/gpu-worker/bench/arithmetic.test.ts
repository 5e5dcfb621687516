import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { arithmeticOf, countArithmetic } from '../../../gpu-worker/src/bench/arithmetic.ts'
import { encodeGraph } from '../../../gpu-worker/src/models/onnx-graph.ts'
import { openSession } from '../../../gpu-worker/src/models/session.ts'

const kernel = (ts: number, op: string, type: string, left: number[], product: number[]) => ({
  name: `node_${op}_kernel_time`,
  ts,
  dur: 1,
  args: { op_name: op, input_type_shape: [{ [type]: left }], output_type_shape: [{ float: product }] },
})
const run = (ts: number) => ({ name: 'model_run', ts, dur: 10 })

describe('the arithmetic of a graph', () => {
  it('is two operations for each multiply-add of the last run’s products, by type', () => {
    const events = [
      run(0),
      kernel(1, 'MatMul', 'float', [9, 9], [9, 9]),
      run(100),
      kernel(101, 'MatMulIntegerToFloat', 'uint8', [4, 8], [4, 16]),
      kernel(102, 'FusedMatMul', 'float', [2, 3, 5], [2, 3, 7]),
      kernel(103, 'Softmax', 'float', [2, 3], [2, 3]),
    ]
    expect(arithmeticOf(events)).toEqual({ int8: 2 * 4 * 16 * 8, float: 2 * 2 * 3 * 7 * 5 })
  })

  it('refuses a profile without a run', () => {
    expect(() => arithmeticOf([])).toThrow('shows no run')
  })

  it('is read from what onnxruntime itself writes', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'parm-test-'))
    try {
      const prefix = join(dir, 'product')
      const model = encodeGraph({
        inputs: [{ name: 'a', type: 'float32', dims: [3, 4] }],
        outputs: [{ name: 'c', type: 'float32', dims: [3, 5] }],
        constants: [{ name: 'b', type: 'float32', dims: [4, 5], data: new Float32Array(20) }],
        nodes: [{ op: 'MatMul', inputs: ['a', 'b'], outputs: ['c'] }],
      })
      const session = await openSession('product', model, 'cpu', 1, { profile: prefix })
      await session.run({ a: { type: 'float32', data: new Float32Array(12), dims: [3, 4] } })
      await session.release()
      expect(await countArithmetic(prefix)).toEqual({ int8: 0, float: 2 * 3 * 4 * 5 })
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
