import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readManifest } from '../../gpu-worker/src/models/bundle-files.ts'
import type { Feed } from '../../gpu-worker/src/models/session.ts'

const Entry = z.strictObject({
  dtype: z.enum(['float32', 'int64', 'uint8']),
  dims: z.array(z.int().positive()),
  offset: z.int().min(0),
  bytes: z.int().positive(),
})
const Expected = Entry.extend({
  tolerance: z.strictObject({ absolute: z.number().min(0), mismatch: z.number().min(0).max(1) }),
})
const GoldenIndex = z.strictObject({
  format: z.literal(1),
  binary: z.string(),
  cases: z.array(
    z.strictObject({
      name: z.string(),
      graph: z.string(),
      source: z.enum(['pytorch', 'onnxruntime']),
      inputs: z.record(z.string(), Entry),
      outputs: z.record(z.string(), Expected),
    }),
  ),
})
export type GoldenCase = z.infer<typeof GoldenIndex>['cases'][number]

/** Inputs and outputs that the exporter computed; see `gpu-worker/training/export/golden.py`. */
export class GoldenVectors {
  readonly cases: readonly GoldenCase[]
  readonly #binary: ArrayBuffer

  private constructor(cases: readonly GoldenCase[], binary: ArrayBuffer) {
    this.cases = cases
    this.#binary = binary
  }

  static async read(dir: string): Promise<GoldenVectors> {
    const { golden } = await readManifest(dir)
    const { cases, binary } = GoldenIndex.parse(JSON.parse(await readFile(join(dir, golden), 'utf8')))
    const bytes = await readFile(join(dir, binary))
    return new GoldenVectors(cases, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  }

  tensor({ dtype, dims, offset, bytes }: z.infer<typeof Entry>): Feed {
    if (dtype === 'float32') return { type: dtype, dims, data: new Float32Array(this.#binary, offset, bytes / 4) }
    if (dtype === 'int64') return { type: dtype, dims, data: new BigInt64Array(this.#binary, offset, bytes / 8) }
    return { type: dtype, dims, data: new Uint8Array(this.#binary, offset, bytes) }
  }
}

/** Share of elements that differ by more than the tolerance allows one by one. */
export function mismatchShare(
  found: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
  absolute: number,
): number {
  if (found.length !== expected.length) throw new Error(`${found.length} elements, expected ${expected.length}`)
  let differing = 0
  for (let index = 0; index < expected.length; index++) {
    if (!(Math.abs(Number(found[index]) - Number(expected[index])) <= absolute)) differing++
  }
  return differing / expected.length
}
