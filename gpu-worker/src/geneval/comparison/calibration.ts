import type { Task } from '../../engine/pruning.ts'
import type { Answer, ReplayedPath } from './path-replay.ts'
import type { Prediction } from './ranking-quality.ts'
import type { ReplayedMethod } from './replayed-method.ts'

const BINS = 10

/** Answers of one kind in a tenth of 0..1. */
export interface ReliabilityBin {
  readonly answers: number
  /** Mean probability of the answers. */
  readonly said: number
  /** Share of them that held. */
  readonly held: number
}

/** What a verifier was asked, or the score that its answer and the generator's coherence were weighed to. */
export type Question = Task | 'score'

/** How far a question's probabilities are frequencies, over the answers that the method asked for. */
export interface Calibration {
  readonly question: Question
  readonly answers: number
  /** Mean probability, and share that held, 0..1. */
  readonly said: number
  readonly held: number
  /** Mean square of probability minus outcome, 0..1; lower is better. Source: Brier, 1950. */
  readonly brier: number
  /** Mean of |said - held| over the bins by their answers. Source: Naeini et al., AAAI 2015. */
  readonly expectedError: number
  /** Ascending; those that have answers. */
  readonly bins: readonly ReliabilityBin[]
}

/** One entry for each question that a method asked and the recording has answers for. */
export function calibrationsOf({ pools }: ReplayedMethod): Calibration[] {
  const questions: readonly Question[] = ['clarity', 'potential', 'alignment', 'score']
  return questions.flatMap((question) => {
    const predictions = pools
      .flat()
      .flatMap((path) => path.answers.flatMap((answer) => toPrediction(path, answer, question)))
    return predictions.length === 0 ? [] : calibrate(question, predictions)
  })
}

/**
 * Potential, alignment and score hold when the final picture is correct. Clarity holds when a judgement made at the step would
 * have been the final one: its picture is correct and so is the last, or neither is.
 */
function toPrediction(path: ReplayedPath, { stepIndex, ruling }: Answer, question: Question): Prediction | [] {
  const probability = ruling[question]
  if (probability === undefined) return []
  const holds = question === 'clarity' ? path.source.correct[stepIndex] === path.correct : path.correct
  return { probability, holds }
}

/** @param predictions  at least one */
export function calibrate(question: Question, predictions: readonly Prediction[]): Calibration {
  const binOf = ({ probability }: Prediction): number => Math.min(BINS - 1, Math.floor(probability * BINS))
  const filled = [...Map.groupBy(predictions, binOf)].sort(([a], [b]) => a - b)
  const bins = filled.map(([, inBin]) => describe(inBin))
  const gaps = bins.reduce((sum, { answers, said, held }) => sum + answers * Math.abs(said - held), 0)
  return {
    question,
    ...describe(predictions),
    brier: mean(predictions, ({ probability, holds }) => (probability - Number(holds)) ** 2),
    expectedError: gaps / predictions.length,
    bins,
  }
}

function describe(predictions: readonly Prediction[]): ReliabilityBin {
  return {
    answers: predictions.length,
    said: mean(predictions, ({ probability }) => probability),
    held: mean(predictions, ({ holds }) => Number(holds)),
  }
}

function mean<T>(values: readonly T[], measure: (value: T) => number): number {
  return values.reduce((sum, value) => sum + measure(value), 0) / values.length
}
