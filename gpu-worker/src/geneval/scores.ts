import { GENEVAL_TASKS, type GenevalTask } from './metadata.ts'
import { wilsonInterval } from './wilson-interval.ts'

/** A share with its 95% interval, all 0..1. */
export interface Score {
  readonly score: number
  readonly low: number
  readonly high: number
}

export interface TaskScore extends Score {
  readonly task: GenevalTask
  readonly correct: number
  readonly images: number
}

export interface GenevalScores {
  /** Tasks that have images, in GenEval's order. */
  readonly tasks: readonly TaskScore[]
  /** Unweighted mean of the tasks present: GenEval's overall when all six are. */
  readonly overall: Score
}

export interface ScoredImage {
  /** Index of its prompt. */
  readonly prompt: number
  readonly tag: GenevalTask
  readonly correct: boolean
}

/** @param images  one entry for each finished picture, in any order; at least one */
export function scoreImages(images: readonly ScoredImage[]): GenevalScores {
  const tasks = GENEVAL_TASKS.flatMap((task) => {
    const ofTask = images.filter((image) => image.tag === task)
    return ofTask.length === 0 ? [] : [{ task, ...scoreTask(ofTask) }]
  })
  return { tasks, overall: meanScore(tasks) }
}

function scoreTask(images: readonly ScoredImage[]): Omit<TaskScore, 'task'> {
  const correct = images.filter((image) => image.correct).length
  const score = correct / images.length
  const effective = effectiveCount(images, score)
  const [low, high] = wilsonInterval(score * effective, effective)
  return { correct, images: images.length, score, low, high }
}

/**
 * How many independent pictures say as much as these: fewer than there are, because a prompt's pictures fail together.
 * Where all are right or all are wrong nothing tells how alike they are, so each prompt counts once.
 *
 * Source: the design effect of cluster sampling (Kish, Survey Sampling, 1965), put into Wilson's interval as compared by
 * Dean and Pagano, "Evaluating confidence interval methods for binomial proportions in clustered surveys", 2015.
 */
function effectiveCount(images: readonly ScoredImage[], score: number): number {
  const prompts = [...Map.groupBy(images, (image) => image.prompt).values()]
  if (prompts.length < 2 || score === 0 || score === 1) return prompts.length
  const squares = prompts.map((ofPrompt) => {
    const correct = ofPrompt.filter((image) => image.correct).length
    return (correct - ofPrompt.length * score) ** 2
  })
  const correction = prompts.length / (prompts.length - 1)
  const variance = (correction * sum(squares)) / images.length ** 2
  const effective = (score * (1 - score)) / variance
  return Math.min(Math.max(effective, prompts.length), images.length)
}

/**
 * The mean of independent scores; its interval recovers each one's variance from that one's own limits.
 * Source: Zou, Huang and Zhang, "A note on confidence interval estimation for a linear function of binomial
 * proportions", 2009.
 */
function meanScore(scores: readonly Score[]): Score {
  const mean = sum(scores.map(({ score }) => score)) / scores.length
  const below = Math.hypot(...scores.map(({ score, low }) => score - low)) / scores.length
  const above = Math.hypot(...scores.map(({ score, high }) => high - score)) / scores.length
  return { score: mean, low: mean - below, high: mean + above }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
