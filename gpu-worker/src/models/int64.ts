/**
 * Token ids travel as Int32Array and enter the graphs as int64. Both directions go through a 32-bit view of the 64-bit
 * buffer, which avoids one BigInt per value. The low word comes first: Node runs on little-endian machines only.
 */

/** @param values  >= 0 */
export function toInt64(values: Int32Array): BigInt64Array {
  const wide = new BigInt64Array(values.length)
  const words = new Int32Array(wide.buffer)
  for (let index = 0; index < values.length; index++) words[index * 2] = values[index] as number
  return wide
}

/** @param wide  values that fit int32; higher bits are dropped */
export function toInt32(wide: BigInt64Array): Int32Array<ArrayBuffer> {
  const words = new Int32Array(wide.buffer, wide.byteOffset, wide.length * 2)
  const values = new Int32Array(wide.length)
  for (let index = 0; index < values.length; index++) values[index] = words[index * 2] as number
  return values
}
