import { checkProbabilities, inputDims, outOfRange, output } from './graph-answers.ts'
import type { GraphContract } from './graph-contract.ts'
import { toInt32, toInt64 } from './int64.ts'
import type { PrefixTable } from './prefix-table.ts'
import type { Session } from './session.ts'
import type { StepReply, StepRequest } from './thread-messages.ts'

/** The step graph with the prefixes of the prompts that it may be asked about. */
export class StepSession {
  readonly prefixes: PrefixTable
  readonly #session: Session
  readonly #contract: GraphContract
  readonly #codebookSize: number

  /** @param session  stays its opener's, who releases it */
  constructor(session: Session, contract: GraphContract, codebookSize: number, prefixes: PrefixTable) {
    this.prefixes = prefixes
    this.#session = session
    this.#contract = contract
    this.#codebookSize = codebookSize
  }

  /**
   * @throws AppError `model_failed`  when the graph fails, or answers in another shape or range than it should
   * @throws InvariantError  when a prompt is not among the prefixes
   */
  async step({ rowCount, tokens, uniform, guidance, prompts }: StepRequest): Promise<StepReply> {
    const session = this.#session
    const contract = this.#contract
    const { kv, promptCount, rowOf } = this.prefixes.rows(prompts)
    const rowPrompt = BigInt64Array.from(prompts, (key) => BigInt(rowOf.get(key) ?? 0))
    const results = await session.run({
      tokens: { type: 'int64', data: toInt64(tokens), dims: [rowCount, tokens.length / rowCount] },
      prefix_kv: { type: 'float32', data: kv, dims: inputDims(contract, 'prefix_kv', promptCount) },
      row_prompt: { type: 'int64', data: rowPrompt, dims: [rowCount] },
      guidance: { type: 'float32', data: guidance, dims: [rowCount] },
      uniform: { type: 'float32', data: uniform, dims: [rowCount, uniform.length / rowCount] },
    })
    const ids = toInt32(output(session, contract, results, 'ids', rowCount) as BigInt64Array)
    const prob = output(session, contract, results, 'prob', rowCount) as Float32Array<ArrayBuffer>
    for (const id of ids) {
      if (id < 0 || id >= this.#codebookSize) throw outOfRange(session, 'ids', id, `0..${this.#codebookSize - 1}`)
    }
    checkProbabilities(session, 'prob', prob)
    return { ids, prob }
  }
}
