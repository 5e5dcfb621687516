import { AppError } from '../../../../shared/error-code.ts'
import type { Judgement } from '../../engine/ports.ts'
import { decide, isClearAfter, potentialOf, questionsAt, type Ruling, scoreOf } from '../../engine/pruning.ts'
import type { Contestant } from '../../engine/selection.ts'
import type { RecordedCandidate } from '../recording/recording.ts'
import { type Method, THE_GENERATOR } from './method.ts'

/** An answer that was asked for and what it led to. */
export interface Answer {
  readonly stepIndex: number
  readonly ruling: Ruling
}

/** What a method does with one candidate as long as no sibling ends it or the job. */
export interface ReplayedPath extends Contestant {
  readonly source: RecordedCandidate
  /** Whether its final picture is right by the yardstick, also where the method never gets to see it. */
  readonly correct: boolean
  /** The same by GenEval's rules. */
  readonly geneval: boolean
  readonly state: Extract<Contestant['state'], { phase: 'pruned' | 'finished' }>
  /** Steps taken until it was pruned or finished, 1..S. */
  readonly stepsDone: number
  /** Steps whose picture was shown to the verifier, ascending. */
  readonly askedSteps: readonly number[]
  /** Those of the asked steps whose answers the recording holds. */
  readonly answers: readonly Answer[]
  /** What finishing it would take on top if it were resumed; nothing for a finished one. */
  readonly remainder: { readonly rowSteps: number; readonly judgeCalls: number }
}

/**
 * Sends one recorded candidate through the engine's own rules.
 *
 * @throws AppError `invalid_request`  when the recording lacks an answer that the method decides by
 */
export function replayPath(source: RecordedCandidate, method: Method): ReplayedPath {
  const stepCount = source.correct.length
  const path = walk(source, method, 0, false)
  const resumed = path.state.phase === 'pruned' ? walk(source, method, path.stepsDone, true) : undefined
  const remainder = { rowSteps: stepCount - path.stepsDone, judgeCalls: resumed?.askedSteps.length ?? 0 }
  const correct = source.correct[stepCount - 1] === true
  return { ...path, source, correct, geneval: source.geneval[stepCount - 1] === true, remainder }
}

type Walk = Pick<ReplayedPath, 'state' | 'stepsDone' | 'askedSteps' | 'answers'>

/** From one step to the pruning of the path or its end. A resumed path is clear, so that nothing prunes it again. */
function walk(source: RecordedCandidate, method: Method, fromStep: number, wasClear: boolean): Walk {
  const stepCount = source.correct.length
  const askedSteps: number[] = []
  const answers: Answer[] = []
  let isClear = wasClear
  for (let stepIndex = fromStep; stepIndex < stepCount; stepIndex++) {
    const ruling = judge(source, method, stepIndex, isClear, askedSteps)
    if (ruling === undefined) continue
    answers.push({ stepIndex, ruling })
    isClear = isClearAfter(isClear, ruling)
    if (ruling.decision === 'prune') {
      const state = { phase: 'pruned', potential: potentialOf(ruling) ?? 0 } as const
      return { state, stepsDone: stepIndex + 1, askedSteps, answers }
    }
  }
  const last = answers.at(-1)
  const ruling = last?.stepIndex === stepCount - 1 ? last.ruling : undefined
  const score = scoreOf(method.strategy, ruling)
  const state = { phase: 'finished', score, isAccepted: ruling?.decision === 'accept' } as const
  return { state, stepsDone: stepCount, askedSteps, answers }
}

/** Notes the question in `askedSteps`; undefined where nothing is asked, or where the answer is unknown and decides nothing. */
function judge(
  source: RecordedCandidate,
  method: Method,
  stepIndex: number,
  isClear: boolean,
  askedSteps: number[],
): Ruling | undefined {
  const isLast = stepIndex === source.correct.length - 1
  const isJudgedStep = method.judgedSteps.includes(stepIndex)
  const isHalving = method.search === 'halving'
  // Where siblings are compared each of them is asked again, and none is ended by its own answer alone.
  const asked = questionsAt(method.strategy, { isLast, isJudgedStep, isClear: isClear && !isHalving })
  if (asked.length === 0) return undefined
  // The generator's opinion comes with the step: nobody is called for it.
  if (method.verifier !== THE_GENERATOR) askedSteps.push(stepIndex)
  const reading = readingOf(source, method, stepIndex)
  const coherence = source.coherence?.[stepIndex]
  if (reading !== undefined)
    return decide(asked, reading, isHalving ? withoutPruning(method) : method, isLast, coherence)
  if (isLast || asked.includes('clarity')) {
    const { prompt, image, candidate } = source
    const message =
      `${method.label} decides by ${method.verifier} at step ${stepIndex}, which was not read of candidate ${candidate} of ` +
      `prompt ${prompt}, image ${image}; start the recording again with ${stepIndex} in --look-at`
    throw new AppError('invalid_request', message)
  }
  return undefined
}

function readingOf(source: RecordedCandidate, { verifier }: Method, stepIndex: number): Judgement | undefined {
  if (verifier !== THE_GENERATOR) return source.readings[verifier ?? '']?.[stepIndex]
  const opinion = source.coherence?.[stepIndex]
  return opinion === undefined ? undefined : { clarity: 1, potential: opinion, alignment: opinion }
}

function withoutPruning(method: Method): Method {
  return { ...method, thresholds: { ...method.thresholds, potential: 0 } }
}
