import type { BundleManifest } from '../../../../shared/bundle.ts'
import { fuse } from '../../engine/fusion.ts'
import { GENEVAL_TASKS, type GenevalTask } from '../metadata.ts'
import type { RecordedCandidate, Recording } from '../recording/recording.ts'
import { agreement, areaWithinGroups, type Prediction } from './ranking-quality.ts'

/** How well one source foretells, from each step's picture, whether the final picture will be correct. */
export interface Foretelling {
  /**
   * A verifier; `yardstick`, whose own verdict on the step's picture is the best that anybody could see there; or `coherence`, the
   * generator's own opinion.
   */
  readonly source: string
  /** Of a verifier whose answer the bundle weighs with coherence, both together as well. */
  readonly question: 'potential' | 'alignment' | 'label' | 'potential with coherence' | 'alignment with coherence'
  readonly tasks: readonly { readonly task: GenevalTask | 'all'; readonly steps: readonly StepQuality[] }[]
}

export interface StepQuality {
  readonly stepIndex: number
  /** Area under the ROC curve among candidates of the same prompt; undefined where all of them end alike. */
  readonly area: number | undefined
  /** Share of candidates about which the answer, yes from 0.5 on, is what the final label is. */
  readonly agreement: number
}

/** Not the thresholds of the bundle: those say when to prune or to accept, which is another question. */
const YES_OR_NO = 0.5

/**
 * When a picture becomes judgeable: for the yardstick, for the generator's own opinion, and for each verifier and each of its
 * questions about the end, by task and step. Every step that was read counts, whether a strategy would have asked there or not.
 */
export function foretellings(recording: Recording, verifiers: BundleManifest['verifiers']): Foretelling[] {
  const yardstick: Foretelling = {
    source: 'yardstick',
    question: 'label',
    tasks: byTask(recording, (candidate, step) => asProbability(candidate.correct[step])),
  }
  const isCoherenceKnown = recording.candidates.some(({ coherence }) => coherence !== undefined)
  const ownOpinion: Read = (candidate, step) => candidate.coherence?.[step]
  const coherence: Foretelling[] = isCoherenceKnown
    ? [{ source: 'coherence', question: 'alignment', tasks: byTask(recording, ownOpinion) }]
    : []
  const ofVerifiers = recording.verifiers.flatMap((source) => {
    const entry = Object.hasOwn(verifiers, source) ? verifiers[source] : undefined
    const questions = (['potential', 'alignment'] as const).filter((question) => entry?.tasks.includes(question))
    return questions.flatMap((question): Foretelling[] => {
      const read: Read = (candidate, step) => candidate.readings[source]?.[step]?.[question]
      const own = { source, question, tasks: byTask(recording, read) }
      const weights = entry?.fusion?.[question]
      if (weights === undefined || !isCoherenceKnown) return [own]
      const both: Read = (candidate, step) => {
        const [answer, coherence] = [read(candidate, step), candidate.coherence?.[step]]
        return answer === undefined || coherence === undefined ? undefined : fuse(answer, coherence, weights)
      }
      return [own, { source, question: `${question} with coherence`, tasks: byTask(recording, both) }]
    })
  })
  return [yardstick, ...coherence, ...ofVerifiers]
}

type Read = (candidate: RecordedCandidate, stepIndex: number) => number | undefined

function byTask(recording: Recording, read: Read): Foretelling['tasks'] {
  const groups = Map.groupBy(recording.candidates, ({ prompt }) => prompt)
  const tagged = [...groups].map(([prompt, candidates]) => ({ tag: recording.prompts[prompt]?.tag, candidates }))
  const rows = [...GENEVAL_TASKS, 'all' as const].map((task) => {
    const ofTask = tagged.filter(({ tag }) => task === 'all' || tag === task).map(({ candidates }) => candidates)
    return { task, steps: ofTask.length === 0 ? [] : stepsOf(recording, ofTask, read) }
  })
  return rows.filter(({ steps }) => steps.length > 0)
}

function stepsOf({ steps }: Recording, groups: readonly (readonly RecordedCandidate[])[], read: Read): StepQuality[] {
  return steps.flatMap((stepIndex) => {
    const predictions = groups.map((group) => group.flatMap((candidate) => toPrediction(candidate, stepIndex, read)))
    const all = predictions.flat()
    if (all.length === 0) return []
    return { stepIndex, area: areaWithinGroups(predictions), agreement: agreement(all, YES_OR_NO) }
  })
}

function toPrediction(candidate: RecordedCandidate, stepIndex: number, read: Read): Prediction | [] {
  const probability = read(candidate, stepIndex)
  return probability === undefined ? [] : { probability, holds: candidate.correct.at(-1) === true }
}

function asProbability(label: boolean | undefined): number | undefined {
  return label === undefined ? undefined : Number(label)
}
