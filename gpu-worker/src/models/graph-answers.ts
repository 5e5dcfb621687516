import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { checkOutputDims, type GraphContract, type TensorContract } from './graph-contract.ts'
import type { Result, Session } from './session.ts'

/** @returns the shape of an input whose dynamic dimensions are `batch` */
export function inputDims(contract: GraphContract, name: string, batch: number): number[] {
  return tensorContract(contract.inputs, name).dims.map((dim) => (dim === 'dynamic' ? batch : Number(dim)))
}

/**
 * @param batch  the size that dynamic dimensions must have had in this run
 * @throws AppError `model_failed`  when the output is missing or its shape is not the contract's
 */
export function output(
  session: Session,
  contract: GraphContract,
  results: Readonly<Record<string, Result>>,
  name: string,
  batch: number,
): Result['data'] {
  const result = results[name]
  if (result === undefined) throw new AppError('model_failed', `graph ${session.graph} gave no ${name}`)
  checkOutputDims(session.graph, tensorContract(contract.outputs, name), result.dims, batch)
  return result.data
}

export function tensorContract(tensors: readonly TensorContract[], name: string): TensorContract {
  const found = tensors.find((tensor) => tensor.name === name)
  if (found === undefined) throw new InvariantError(`no contract for ${name}`)
  return found
}

/** @throws AppError `model_failed`  naming graph, output and value */
export function checkProbabilities(session: Session, name: string, values: Float32Array): void {
  // A softmax may round to a hair above 1.
  for (const value of values) if (!(value >= 0 && value <= 1.0001)) throw outOfRange(session, name, value, '0..1')
}

export function outOfRange(session: Session, name: string, value: number, range: string): AppError {
  return new AppError('model_failed', `graph ${session.graph} answered ${value} in ${name}, expected ${range}`)
}
