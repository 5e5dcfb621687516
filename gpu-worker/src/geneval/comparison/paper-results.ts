import type { GenevalTask } from '../metadata.ts'

/** The paper's own numbers, to lay ours beside; of another generator (Show-o, 256 x 256) and another detector. */
export interface PaperRow {
  /** Name of the method that plays the same part here. */
  readonly method: string
  readonly tasks: Readonly<Record<GenevalTask, number>>
  readonly overall: number
}

/** Source: PARM, arXiv 2501.13926, Table 1; the last row from Table 3. Best of 20, GenEval. */
export const PAPER_ROWS: readonly PaperRow[] = [
  paperRow('baseline', [0.95, 0.52, 0.49, 0.82, 0.11, 0.28], 0.53),
  paperRow('orm-zs', [0.99, 0.63, 0.63, 0.84, 0.19, 0.39], 0.61),
  paperRow('orm-ft', [0.99, 0.72, 0.65, 0.84, 0.25, 0.33], 0.63),
  paperRow('prm-zs', [0.98, 0.51, 0.54, 0.82, 0.11, 0.23], 0.53),
  paperRow('prm-ft', [0.98, 0.55, 0.54, 0.83, 0.13, 0.29], 0.55),
  paperRow('parm', [0.99, 0.77, 0.68, 0.86, 0.29, 0.45], 0.67),
]

type SixScores = readonly [number, number, number, number, number, number]

function paperRow(
  method: string,
  [single_object, two_object, counting, colors, position, color_attr]: SixScores,
  overall: number,
): PaperRow {
  return { method, tasks: { single_object, two_object, counting, colors, position, color_attr }, overall }
}
