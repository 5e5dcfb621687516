import { GENEVAL_TASKS, type GenevalTask } from './metadata.ts'

/** A share with its 95% interval, all 0..1. */
export interface TaskScore {
  readonly task: GenevalTask
  readonly correct: number
  readonly images: number
  readonly score: number
  readonly low: number
  readonly high: number
}

export interface GenevalScores {
  /** Tasks that have images, in GenEval's order. */
  readonly tasks: readonly TaskScore[]
  /** Unweighted mean of the tasks present: GenEval's overall when all six are. */
  readonly overall: number
}

const Z_95 = 1.959964

/** @param images  one entry for each finished picture, in any order; at least one */
export function scoreImages(
  images: readonly { readonly tag: GenevalTask; readonly correct: boolean }[],
): GenevalScores {
  const tasks = GENEVAL_TASKS.flatMap((task) => {
    const ofTask = images.filter((image) => image.tag === task)
    if (ofTask.length === 0) return []
    const correct = ofTask.filter((image) => image.correct).length
    const [low, high] = wilsonInterval(correct, ofTask.length)
    return [{ task, correct, images: ofTask.length, score: correct / ofTask.length, low, high }]
  })
  return { tasks, overall: tasks.reduce((sum, task) => sum + task.score, 0) / tasks.length }
}

/**
 * The 95% Wilson score interval of a share; unlike the normal one it stays within 0..1 and is not empty at 0 or 1.
 *
 * @param total  > 0
 * Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
 */
export function wilsonInterval(successes: number, total: number): [number, number] {
  const share = successes / total
  const square = Z_95 ** 2
  const center = (share + square / (2 * total)) / (1 + square / total)
  const half = (Z_95 / (1 + square / total)) * Math.sqrt((share * (1 - share)) / total + square / (4 * total ** 2))
  return [Math.max(0, center - half), Math.min(1, center + half)]
}
