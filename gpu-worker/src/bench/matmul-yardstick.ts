import { SeededDraws } from '../geneval/comparison/seeded-draws.ts'
import { encodeGraph, type GraphDescription } from '../models/onnx-graph.ts'
import { openSession, type Session } from '../models/session.ts'
import { type SpentTime, subtractTime } from '../models/spent-time.ts'

export type FactorType = 'int8' | 'float'

/** [rows, inner, columns] of one product. */
export type ProductShape = readonly [number, number, number]

/** Products in one run, so that a run's fixed cost does not count. */
const REPEATS = 3

/**
 * One matrix product, several times with different weights, on onnxruntime itself: what the runtime can reach on this
 * machine. `int8` is uint8 activations by int8 weights, the types of the bundle's linear layers.
 */
export class MatmulYardstick {
  readonly shape: ProductShape
  readonly type: FactorType
  readonly #session: Session
  readonly #left: Uint8Array | Float32Array

  private constructor(type: FactorType, shape: ProductShape, session: Session, left: Uint8Array | Float32Array) {
    this.type = type
    this.shape = shape
    this.#session = session
    this.#left = left
  }

  static async open(type: FactorType, shape: ProductShape, threads: number): Promise<MatmulYardstick> {
    const [rows, inner] = shape
    const bytes = randomBytes(rows * inner)
    const left = type === 'int8' ? bytes : Float32Array.from(bytes, (byte) => byte / 255)
    const session = await openSession(`${type} yardstick`, encodeGraph(describe(type, shape)), 'cpu', threads)
    return new MatmulYardstick(type, shape, session, left)
  }

  /** Operations of one run, 2 for each multiply-add. */
  get operations(): number {
    const [rows, inner, columns] = this.shape
    return 2 * rows * inner * columns * REPEATS
  }

  /** @returns the time of one run */
  async measure(): Promise<SpentTime> {
    const [rows, inner] = this.shape
    const before = this.#session.spent
    await this.#session.run({ left: { type: leftType(this.type), data: this.#left, dims: [rows, inner] } })
    return subtractTime(this.#session.spent, before)
  }

  close(): Promise<void> {
    return this.#session.release()
  }
}

const leftType = (type: FactorType) => (type === 'int8' ? 'uint8' : 'float32')

/** Only one row of each product leaves the graph, so that the copy out of the runtime costs nothing. */
function describe(type: FactorType, [rows, inner, columns]: ProductShape): GraphDescription {
  const repeats = Array.from({ length: REPEATS }, (_, index) => index)
  const weights = repeats.map((index) => {
    const bytes = randomBytes(inner * columns, index + 1)
    const isInt8 = type === 'int8'
    return {
      name: `weights${index}`,
      type: isInt8 ? ('int8' as const) : ('float32' as const),
      dims: [inner, columns],
      // 7 bits: with 8 the products of some processors would saturate, and nobody would serve them.
      data: isInt8 ? Int8Array.from(bytes, (byte) => (byte >> 1) - 64) : Float32Array.from(bytes, (byte) => byte / 255),
    }
  })
  return {
    inputs: [{ name: 'left', type: leftType(type), dims: [rows, inner] }],
    outputs: repeats.map((index) => ({
      name: `row${index}`,
      type: type === 'int8' ? ('int32' as const) : ('float32' as const),
      dims: [columns],
    })),
    constants: [...weights, { name: 'first', type: 'int64', dims: [], data: new BigInt64Array(1) }],
    nodes: repeats.flatMap((index) => [
      {
        op: type === 'int8' ? 'MatMulInteger' : 'MatMul',
        inputs: ['left', `weights${index}`],
        outputs: [`product${index}`],
      },
      { op: 'Gather', inputs: [`product${index}`, 'first'], outputs: [`row${index}`] },
    ]),
  }
}

function randomBytes(count: number, stream = 0): Uint8Array {
  const draws = new SeededDraws(0, stream)
  return Uint8Array.from({ length: count }, () => draws.below(256))
}
