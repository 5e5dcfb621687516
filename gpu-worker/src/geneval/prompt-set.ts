import { GENEVAL_TASKS, type GenevalPrompt } from './metadata.ts'

/** Prompts that are scored together and apart from others. */
export interface PromptSet {
  /** `official`, `generated`, or a file's name without its ending. */
  readonly name: string
  readonly prompts: readonly GenevalPrompt[]
}

/** @returns the first `count` prompts of each task, or as many as there are; by task in GenEval's order */
export function firstOfEachTask(prompts: readonly GenevalPrompt[], count: number): GenevalPrompt[] {
  return GENEVAL_TASKS.flatMap((task) => prompts.filter(({ tag }) => tag === task).slice(0, count))
}

/**
 * Splits what was made for the prompts of several sets, put one after the other.
 *
 * @param results  `prompt` is the index among all sets' prompts
 */
export function bySet<T extends { readonly prompt: number }>(
  sets: readonly PromptSet[],
  results: readonly T[],
): { set: PromptSet; results: T[] }[] {
  let end = 0
  return sets.map((set) => {
    const start = end
    end += set.prompts.length
    return { set, results: results.filter(({ prompt }) => prompt >= start && prompt < end) }
  })
}
