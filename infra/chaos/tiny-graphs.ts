import { encodeGraph, type GraphDescription, type GraphNode } from '../../gpu-worker/src/models/onnx-graph.ts'

/** Sizes of the tiny model: as small as still has every part of a real one. */
export const TINY = {
  grid: [4, 4] as const,
  tokenCount: 16,
  codebookSize: 64,
  imageSize: [16, 16] as const,
  promptTokens: 12,
  layers: 1,
  heads: 1,
  headDim: 2,
}

const { tokenCount, codebookSize, imageSize, promptTokens } = TINY
const PIXELS = imageSize[0] * imageSize[1] * 3
/** A prime, so that remainders by it look random. */
const PRIME = 1009

/*
 * Nothing here was learned, and everything is real: each graph runs in onnxruntime, each answer depends on all of its inputs.
 * All products are of small integers, whose sums float32 holds exactly: no order of summation can change a picture.
 */

type Constant = GraphDescription['constants'][number]

const floats = (name: string, dims: number[], value: (index: number) => number): Constant => {
  const size = dims.reduce((product, dim) => product * dim, 1)
  return { name, type: 'float32', dims, data: Float32Array.from({ length: size }, (_, index) => value(index)) }
}
const shape = (name: string, ...dims: number[]): Constant => ({
  name,
  type: 'int64',
  dims: [dims.length],
  data: BigInt64Array.from(dims.map(BigInt)),
})
const scalar = (name: string, value: number): Constant => floats(name, [1], () => value)
const node = (op: string, inputs: string[], output: string, attributes?: GraphNode['attributes']): GraphNode => ({
  op,
  inputs,
  outputs: [output],
  ...(attributes && { attributes }),
})
/** `value` mod `modulus`, elementwise, as five nodes; both are floats. */
const remainder = (value: string, modulus: string, output: string): GraphNode[] => [
  node('Div', [value, modulus], `${output}_ratio`),
  node('Floor', [`${output}_ratio`], `${output}_whole`),
  node('Mul', [`${output}_whole`, modulus], `${output}_product`),
  node('Sub', [value, `${output}_product`], output),
]

/** Small integers without a pattern that a reader would see. */
const weight = (index: number): number => ((index * 7919 + 13) % 11) - 5
const positive = (index: number): number => ((index * 7919 + 13) % 7) + 1

export function prefixGraph(): Uint8Array {
  return encodeGraph({
    inputs: [{ name: 'prompt_ids', type: 'int64', dims: ['P', promptTokens] }],
    outputs: [{ name: 'prefix_kv', type: 'float32', dims: [1, 2, 'P', 1, promptTokens, 2] }],
    constants: [
      shape('six_dims', 1, 1, -1, 1, promptTokens, 1),
      floats('per_token', [1, 1, 1, 1, promptTokens, 1], positive),
      floats('keys_and_values', [1, 2, 1, 1, 1, 2], (index) => index + 1),
    ],
    nodes: [
      node('Cast', ['prompt_ids'], 'ids', { to: 'float32' }),
      node('Reshape', ['ids', 'six_dims'], 'spread'),
      node('Mul', ['spread', 'per_token'], 'weighed'),
      node('Mul', ['weighed', 'keys_and_values'], 'prefix_kv'),
    ],
  })
}

export function stepGraph(): Uint8Array {
  const perToken = { type: 'float32', dims: ['R', tokenCount] } as const
  return encodeGraph({
    inputs: [
      { name: 'tokens', type: 'int64', dims: ['R', tokenCount] },
      { name: 'prefix_kv', type: 'float32', dims: [1, 2, 'P', 1, promptTokens, 2] },
      { name: 'row_prompt', type: 'int64', dims: ['R'] },
      { name: 'guidance', type: 'float32', dims: ['R'] },
      { name: 'uniform', ...perToken },
    ],
    outputs: [
      { name: 'ids', type: 'int64', dims: ['R', tokenCount] },
      { name: 'prob', ...perToken },
    ],
    constants: [
      floats('mixing', [tokenCount, tokenCount], weight),
      shape('column', -1, 1),
      shape('all_but_rows', 0, 1, 3, 4, 5),
      scalar('codes', codebookSize),
      scalar('most', 0.98),
      scalar('least', 0.01),
    ],
    nodes: [
      node('Cast', ['tokens'], 'codes_now', { to: 'float32' }),
      node('MatMul', ['codes_now', 'mixing'], 'mixed'),
      node('Gather', ['prefix_kv', 'row_prompt'], 'own_prefix', { axis: 2 }),
      node('ReduceSum', ['own_prefix', 'all_but_rows'], 'prefix_sum'),
      node('Reshape', ['prefix_sum', 'column'], 'said'),
      node('Reshape', ['guidance', 'column'], 'guided'),
      node('Mul', ['uniform', 'codes'], 'drawn'),
      node('Add', ['mixed', 'said'], 'sum_1'),
      node('Add', ['sum_1', 'guided'], 'sum_2'),
      node('Add', ['sum_2', 'drawn'], 'sum_3'),
      ...remainder('sum_3', 'codes', 'position'),
      node('Floor', ['position'], 'code'),
      node('Cast', ['code'], 'ids', { to: 'int64' }),
      node('Mul', ['uniform', 'most'], 'scaled'),
      node('Add', ['scaled', 'least'], 'prob'),
    ],
  })
}

export function decodeGraph(): Uint8Array {
  const [height, width] = imageSize
  const patch = width / TINY.grid[1]
  return encodeGraph({
    inputs: [{ name: 'ids', type: 'int64', dims: ['R', tokenCount] }],
    outputs: [{ name: 'image', type: 'uint8', dims: ['R', height, width, 3] }],
    constants: [
      // A square of one colour a token: three, two and one times its code.
      floats('squares', [tokenCount, PIXELS], (index) => {
        const [token, pixel, channel] = [Math.floor(index / PIXELS), Math.floor((index % PIXELS) / 3), index % 3]
        const row = Math.floor(Math.floor(pixel / width) / patch)
        const column = Math.floor((pixel % width) / patch)
        return row * TINY.grid[1] + column === token ? 3 - channel : 0
      }),
      shape('picture', -1, height, width, 3),
    ],
    nodes: [
      node('Cast', ['ids'], 'codes', { to: 'float32' }),
      node('MatMul', ['codes', 'squares'], 'flat'),
      node('Cast', ['flat'], 'bytes', { to: 'uint8' }),
      node('Reshape', ['bytes', 'picture'], 'image'),
    ],
  })
}

/** Its answers mean nothing, but they are spread over 0..1: some candidates are pruned, some accepted. */
export function verifierGraph(): Uint8Array {
  const [height, width] = imageSize
  return encodeGraph({
    inputs: [
      { name: 'image', type: 'uint8', dims: ['R', height, width, 3] },
      { name: 'prompt_ids', type: 'int64', dims: ['R', promptTokens] },
    ],
    outputs: [{ name: 'yes', type: 'float32', dims: ['R', 3] }],
    constants: [
      shape('flat_picture', -1, PIXELS),
      floats('look', [PIXELS, 3], positive),
      floats('read', [promptTokens, 3], positive),
      scalar('prime', PRIME),
    ],
    nodes: [
      node('Cast', ['image'], 'pixels', { to: 'float32' }),
      node('Reshape', ['pixels', 'flat_picture'], 'flat'),
      node('MatMul', ['flat', 'look'], 'seen'),
      node('Cast', ['prompt_ids'], 'words', { to: 'float32' }),
      node('MatMul', ['words', 'read'], 'understood'),
      node('Add', ['seen', 'understood'], 'both'),
      ...remainder('both', 'prime', 'rest'),
      node('Div', ['rest', 'prime'], 'yes'),
    ],
  })
}
