import { type Estimate, PromptBootstrap, type TaskEstimates } from './comparison/bootstrap.ts'
import type { GenevalTask } from './metadata.ts'
import type { ImageResult } from './run-folder.ts'

/** One way to make the pictures of a set of prompts. */
export interface NamedRun {
  readonly name: string
  /** In the order of prompts and images. */
  readonly results: readonly ImageResult[]
}

/** Scores and costs are means over the tasks, so that both weigh prompts alike. */
export interface ComparedRun {
  readonly name: string
  readonly score: TaskEstimates
  /** The same by GenEval's rules over the detector. */
  readonly geneval: TaskEstimates
  /** Overall score minus the first run's; prompts are resampled together. */
  readonly gain: Estimate
  /** Per picture. */
  readonly rowSteps: Estimate
  /** Per picture. */
  readonly judgeCalls: Estimate
  /** Row-steps per picture with those that the judge's calls are worth; undefined where that is not known. */
  readonly cost: Estimate | undefined
}

/** Of the bootstrap: the same runs always give the same comparison. */
const SEED = 0

/**
 * Compares runs over the same prompts and seeds, the first being what the others are measured against.
 *
 * @param runs          at least one, each with the same pictures
 * @param callRowSteps  row-steps that one judge call is worth; undefined where the bundle does not tell
 */
export function compareRuns(runs: readonly NamedRun[], callRowSteps: number | undefined): ComparedRun[] {
  const [reference] = runs
  const tags = tagsOf(reference?.results ?? [])
  const bootstrap = new PromptBootstrap([...tags.values()], SEED)
  const perPrompt = ({ results }: NamedRun, measure: (result: ImageResult) => number): number[] => {
    const byPrompt = Map.groupBy(results, ({ prompt }) => prompt)
    return [...tags.keys()].map((prompt) => mean((byPrompt.get(prompt) ?? []).map(measure)))
  }
  const correct = runs.map((run) => perPrompt(run, (result) => Number(result.correct)))
  return runs.map((run, place) => {
    const own = correct[place] as number[]
    const estimate = (measure: (result: ImageResult) => number): Estimate =>
      bootstrap.estimate(perPrompt(run, measure)).overall
    return {
      name: run.name,
      score: bootstrap.estimate(own),
      geneval: bootstrap.estimate(perPrompt(run, (result) => Number(result.geneval))),
      gain: bootstrap.estimate(own.map((value, prompt) => value - (correct[0]?.[prompt] as number))).overall,
      rowSteps: estimate(({ rowSteps }) => rowSteps),
      judgeCalls: estimate(({ judgeCalls }) => judgeCalls),
      cost:
        callRowSteps === undefined
          ? undefined
          : estimate(({ rowSteps, judgeCalls }) => rowSteps + judgeCalls * callRowSteps),
    }
  })
}

/** By prompt, in the order of the results. */
function tagsOf(results: readonly ImageResult[]): Map<number, GenevalTask> {
  return new Map(results.map(({ prompt, tag }) => [prompt, tag]))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
