/**
 * Writes small ONNX models as protobuf, for graphs that measure or probe the runtime and have no business in a bundle.
 * Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, whose field numbers these are.
 */

/** TensorProto.DataType */
const DATA_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 } as const
export type GraphType = keyof typeof DATA_TYPES

export interface GraphTensor {
  readonly name: string
  readonly type: GraphType
  readonly dims: readonly number[]
}

/** An input or output of a graph: a name in place of a size stands for any. */
export interface GraphValue extends Omit<GraphTensor, 'dims'> {
  readonly dims: readonly (number | string)[]
}

export interface GraphNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Default: ONNX's own. */
  readonly domain?: 'com.microsoft'
  /** Default: ONNX's own. Types are told by their names. */
  readonly attributes?: Readonly<Record<string, number | GraphType>>
}

export interface GraphDescription {
  readonly inputs: readonly GraphValue[]
  readonly outputs: readonly GraphValue[]
  /** Constants with their little-endian data. */
  readonly constants: readonly (GraphTensor & { readonly data: ArrayBufferView })[]
  /** In an order in which each finds its inputs computed. */
  readonly nodes: readonly GraphNode[]
}

const IR_VERSION = 8
const OPSET = 17

/** @returns a ModelProto */
export function encodeGraph({ inputs, outputs, constants, nodes }: GraphDescription): Uint8Array {
  const graph = Buffer.concat([
    ...nodes.map((node) => message(1, encodeNode(node))),
    message(2, 'graph'),
    ...constants.map((constant) => message(5, encodeConstant(constant))),
    ...inputs.map((input) => message(11, encodeValue(input))),
    ...outputs.map((output) => message(12, encodeValue(output))),
  ])
  const opsets = [
    ['', OPSET],
    ['com.microsoft', 1],
  ] as const
  return Buffer.concat([
    integer(1, IR_VERSION),
    message(7, graph),
    ...opsets.map(([domain, version]) => message(8, Buffer.concat([message(1, domain), integer(2, version)]))),
  ])
}

/** NodeProto */
function encodeNode({ op, inputs, outputs, domain, attributes = {} }: GraphNode): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => message(1, name)),
    ...outputs.map((name) => message(2, name)),
    message(4, op),
    ...Object.entries(attributes).map(([name, value]) => message(5, encodeAttribute(name, value))),
    ...(domain === undefined ? [] : [message(7, domain)]),
  ])
}

/** AttributeProto.AttributeType */
const INT_ATTRIBUTE = 2

/** AttributeProto */
function encodeAttribute(name: string, value: number | GraphType): Buffer {
  const number = typeof value === 'number' ? value : DATA_TYPES[value]
  return Buffer.concat([message(1, name), integer(3, number), integer(20, INT_ATTRIBUTE)])
}

/** TensorProto */
function encodeConstant({ name, type, dims, data }: GraphDescription['constants'][number]): Buffer {
  return Buffer.concat([
    ...dims.map((dim) => integer(1, dim)),
    integer(2, DATA_TYPES[type]),
    message(8, name),
    message(9, Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ])
}

/** ValueInfoProto */
function encodeValue({ name, type, dims }: GraphValue): Buffer {
  const shape = Buffer.concat(
    dims.map((dim) => message(1, typeof dim === 'number' ? integer(1, dim) : message(2, dim))),
  )
  const tensor = Buffer.concat([integer(1, DATA_TYPES[type]), message(2, shape)])
  return Buffer.concat([message(1, name), message(2, message(1, tensor))])
}

/** A field of wire type 0. */
function integer(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)])
}

/** A field of wire type 2: a string, bytes or a message. */
function message(field: number, content: string | Buffer): Buffer {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes])
}

/** @param value  an integer from 0 to 2^53 */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}
