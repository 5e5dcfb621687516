import { describe, expect, it } from 'vitest'
import { toInt32, toInt64 } from '../../../gpu-worker/src/models/int64.ts'

describe('int64 conversion', () => {
  const values = Int32Array.of(0, 1, 8191, 8192, 2 ** 31 - 1)

  it('writes the numbers that BigInt would write', () => {
    expect(toInt64(values)).toEqual(BigInt64Array.from(values, BigInt))
  })

  it('reads them back, from the middle of a buffer as well', () => {
    const wide = BigInt64Array.of(77n, ...toInt64(values))
    expect(toInt32(wide.subarray(1))).toEqual(values)
  })
})
