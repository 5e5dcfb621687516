import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'

export type ElementType = 'int64' | 'float32' | 'uint8'

/** A fixed size, or `dynamic`: any size at run time, or `any`: fixed by the graph, whatever it is. */
export type Dimension = number | 'dynamic' | 'any'

export interface TensorContract {
  readonly name: string
  readonly type: ElementType
  readonly dims: readonly Dimension[]
}

export interface GraphContract {
  readonly inputs: readonly TensorContract[]
  readonly outputs: readonly TensorContract[]
}

/** What a loaded graph says of one input or output; a string is a symbolic, hence dynamic, dimension. */
export interface TensorFound {
  readonly name: string
  readonly type: string
  readonly dims: readonly (number | string)[]
}

/** The graphs of a bundle by role, with the shapes that its manifest promises; the table is README.md. */
export interface BundleContracts {
  readonly prefix: GraphContract
  readonly step: GraphContract
  readonly decode: GraphContract
  readonly verifier: GraphContract
  readonly detector: GraphContract | undefined
}

export function bundleContracts(manifest: BundleManifest): BundleContracts {
  const { generator, prompt, detector } = manifest
  const tokens = generator.grid[0] * generator.grid[1]
  const promptIds: TensorContract = { name: 'prompt_ids', type: 'int64', dims: ['dynamic', prompt.maxTokens] }
  const image: TensorContract = { name: 'image', type: 'uint8', dims: ['dynamic', ...generator.imageSize, 3] }
  const ids: TensorContract = { name: 'ids', type: 'int64', dims: ['dynamic', tokens] }
  const prefixKv: TensorContract = {
    name: 'prefix_kv',
    type: 'float32',
    dims: [generator.layers, 2, 'dynamic', generator.heads, prompt.maxTokens, generator.headDim],
  }
  const perToken = (name: string, type: ElementType): TensorContract => ({ name, type, dims: ['dynamic', tokens] })
  const perRow = (name: string, type: ElementType): TensorContract => ({ name, type, dims: ['dynamic'] })
  const perObject = (name: string, type: ElementType, ...rest: number[]): TensorContract => ({
    name,
    type,
    dims: ['dynamic', 'any', ...rest],
  })
  return {
    prefix: { inputs: [promptIds], outputs: [prefixKv] },
    step: {
      inputs: [
        perToken('tokens', 'int64'),
        prefixKv,
        perRow('row_prompt', 'int64'),
        perRow('guidance', 'float32'),
        perToken('uniform', 'float32'),
      ],
      outputs: [ids, perToken('prob', 'float32')],
    },
    decode: { inputs: [ids], outputs: [image] },
    verifier: { inputs: [image, promptIds], outputs: [{ name: 'yes', type: 'float32', dims: ['dynamic', 3] }] },
    detector: detector && {
      inputs: [image],
      outputs: [
        perObject('boxes', 'float32', 4),
        perObject('scores', 'float32'),
        perObject('labels', 'int64'),
        perObject('colors', 'float32', detector.colors.length),
        ...(detector.strict ? [{ name: 'faults', type: 'float32', dims: ['dynamic', 'any', 'any'] } as const] : []),
      ],
    },
  }
}

/**
 * Compares what a graph declares with its contract. Order does not matter and neither do extra outputs; an extra input
 * does, because nothing would feed it.
 *
 * @param graph  file name, for the message
 * @throws AppError `bundle_invalid`  naming graph and tensor, what was expected and what was found
 */
export function checkGraph(
  graph: string,
  found: { inputs: TensorFound[]; outputs: TensorFound[] },
  contract: GraphContract,
): void {
  for (const expected of contract.inputs) checkTensor(graph, 'input', found.inputs, expected)
  for (const expected of contract.outputs) checkTensor(graph, 'output', found.outputs, expected)
  const known = new Set(contract.inputs.map((input) => input.name))
  const extra = found.inputs.find((input) => !known.has(input.name))
  if (extra) {
    throw new AppError(
      'bundle_invalid',
      `graph ${graph} wants an input ${extra.name}, expected only ${[...known].join(', ')}`,
    )
  }
}

function checkTensor(
  graph: string,
  side: 'input' | 'output',
  found: readonly TensorFound[],
  expected: TensorContract,
): void {
  const tensor = found.find((candidate) => candidate.name === expected.name)
  const wanted = `${expected.type} ${formatDims(expected.dims)}`
  if (tensor === undefined) {
    const names = found.map((candidate) => candidate.name).join(', ')
    throw new AppError('bundle_invalid', `graph ${graph} has no ${side} ${expected.name} (${wanted}); it has ${names}`)
  }
  const fits =
    tensor.type === expected.type &&
    tensor.dims.length === expected.dims.length &&
    expected.dims.every((dim, axis) => declaredFits(tensor.dims[axis], dim))
  if (fits) return
  throw new AppError(
    'bundle_invalid',
    `graph ${graph}: ${side} ${expected.name} is ${tensor.type} ${formatDims(tensor.dims)}, expected ${wanted}`,
  )
}

/** A symbolic size where a fixed one is expected shows its true value only at run time: see `checkOutputDims`. */
function declaredFits(found: number | string | undefined, expected: Dimension): boolean {
  if (expected === 'any') return true
  if (expected === 'dynamic') return typeof found === 'string'
  return typeof found === 'string' || found === expected
}

/**
 * Compares the shape of a computed output with its contract.
 *
 * @param batch  the size that dynamic dimensions must have had in this run
 * @throws AppError `model_failed`  naming graph and tensor
 */
export function checkOutputDims(graph: string, contract: TensorContract, dims: readonly number[], batch: number): void {
  const expected = contract.dims.map((dim) => (dim === 'dynamic' ? batch : dim))
  const fits = dims.length === expected.length && expected.every((dim, axis) => dim === 'any' || dim === dims[axis])
  if (fits) return
  throw new AppError(
    'model_failed',
    `graph ${graph} answered ${contract.name} ${formatDims(dims)}, expected ${formatDims(expected)}`,
  )
}

export function formatDims(dims: readonly (number | string)[]): string {
  return `[${dims.join(', ')}]`
}
