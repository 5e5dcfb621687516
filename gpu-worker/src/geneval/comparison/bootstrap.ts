import { GENEVAL_TASKS, type GenevalTask } from '../metadata.ts'
import { SeededDraws } from './seeded-draws.ts'

/** A mean over prompts with its 95% interval. */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

/** The mean over a task's prompts for each task present, and GenEval's overall: the unweighted mean of those. */
export interface TaskEstimates {
  readonly tasks: Readonly<Partial<Record<GenevalTask, Estimate>>>
  readonly overall: Estimate
}

const RESAMPLES = 2000
const TAIL = 0.025

/**
 * Percentile bootstrap over prompts, each task for itself. Candidates and pictures of one prompt stay together, because
 * they are not independent; all measures are resampled alike, so that the difference of two of them is a paired one.
 * Where every prompt of a task has the same value, that task's interval is empty: the sample shows no spread.
 *
 * Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
 */
export class PromptBootstrap {
  /** The tasks present, in GenEval's order, with the indices of their prompts. */
  readonly #strata: readonly { readonly task: GenevalTask; readonly prompts: readonly number[] }[]
  /** By resample: how often each prompt was drawn. */
  readonly #counts: readonly Uint16Array[]

  /**
   * @param tags  the task of each prompt; at least one
   * @param seed  uint32
   */
  constructor(tags: readonly GenevalTask[], seed: number) {
    this.#strata = GENEVAL_TASKS.map((task) => ({
      task,
      prompts: tags.flatMap((tag, prompt) => (tag === task ? prompt : [])),
    })).filter(({ prompts }) => prompts.length > 0)
    const draws = new SeededDraws(seed, 0)
    this.#counts = Array.from({ length: RESAMPLES }, () => this.#resample(tags.length, draws))
  }

  /** @param values  one for each prompt */
  estimate(values: readonly number[]): TaskEstimates {
    const once = new Uint16Array(values.length).fill(1)
    const means = this.#taskMeans(values, once)
    const resampled = this.#counts.map((counts) => this.#taskMeans(values, counts))
    const tasks = this.#strata.map(({ task }, place) => {
      const ofTask = resampled.map((row) => row[place] as number)
      return [task, { value: means[place] as number, ...interval(ofTask) }] as const
    })
    return { tasks: Object.fromEntries(tasks), overall: { value: mean(means), ...interval(resampled.map(mean)) } }
  }

  #resample(promptCount: number, draws: SeededDraws): Uint16Array {
    const counts = new Uint16Array(promptCount)
    for (const { prompts } of this.#strata) {
      for (let drawn = 0; drawn < prompts.length; drawn++) {
        const prompt = prompts[draws.below(prompts.length)] as number
        counts[prompt] = (counts[prompt] as number) + 1
      }
    }
    return counts
  }

  /** One mean for each stratum. */
  #taskMeans(values: readonly number[], counts: Uint16Array): number[] {
    return this.#strata.map(({ prompts }) => {
      let sum = 0
      for (const prompt of prompts) sum += (values[prompt] as number) * (counts[prompt] as number)
      return sum / prompts.length
    })
  }
}

function interval(values: readonly number[]): Pick<Estimate, 'low' | 'high'> {
  const sorted = Float64Array.from(values).sort()
  const last = sorted.length - 1
  return {
    low: sorted[Math.floor(TAIL * last)] as number,
    high: sorted[Math.ceil((1 - TAIL) * last)] as number,
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
