import type { Judgement } from '../../../../gpu-worker/src/engine/ports.ts'
import type { Method } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import type { GenevalPrompt, GenevalTask } from '../../../../gpu-worker/src/geneval/metadata.ts'
import type { RecordedCandidate, Recording } from '../../../../gpu-worker/src/geneval/recording/recording.ts'

/** Verifier name of every made-up candidate. */
export const JUDGE = 'judge'

export const THRESHOLDS: Judgement = { clarity: 0.5, potential: 0.5, alignment: 0.5 }

export function methodOf(overrides: Partial<Method> = {}): Method {
  return {
    name: 'parm',
    label: 'PARM',
    strategy: 'parm',
    accept: 'best',
    search: 'plain',
    verifier: JUDGE,
    thresholds: THRESHOLDS,
    judgedSteps: [1, 2],
    fusion: undefined,
    leastGain: 0,
    isAlone: false,
    isServed: false,
    callRowSteps: 0.5,
    ...overrides,
  }
}

/** One step of a made-up path: clarity, potential and alignment, and whether its picture is correct. */
export type MadeStep = readonly [clarity: number, potential: number, alignment: number, correct: boolean]

export function candidateOf(
  steps: readonly (MadeStep | undefined)[],
  place: Partial<Pick<RecordedCandidate, 'prompt' | 'image' | 'candidate'>> = {},
): RecordedCandidate {
  const isCorrect = steps.at(-1)?.[3] === true
  return {
    prompt: 0,
    image: 0,
    candidate: 0,
    ...place,
    correct: steps.map((step) => step?.[3]),
    geneval: steps.map((step) => step?.[3]),
    strict: { detector: isCorrect, matcher: isCorrect },
    reasons: isCorrect ? [] : ['expected 1 cat, found 0'],
    readings: {
      [JUDGE]: steps.map((step) => step && { clarity: step[0], potential: step[1], alignment: step[2] }),
    },
    coherence: undefined,
  }
}

/** A path of four steps that says the same at every step. */
export function evenPath(
  clarity: number,
  potential: number,
  alignment: number,
  correct: boolean,
  place: Parameters<typeof candidateOf>[1] = {},
): RecordedCandidate {
  return candidateOf(new Array<MadeStep>(4).fill([clarity, potential, alignment, correct]), place)
}

export function promptOf(tag: GenevalTask, name = 'cat'): GenevalPrompt {
  return { tag, include: [{ class: name, count: 1 }], prompt: `a photo of a ${name}` }
}

/** Candidates must name their prompt; all have the same number of steps. */
export function recordingOf(
  tags: readonly GenevalTask[],
  candidates: readonly RecordedCandidate[],
  firstStep = 0,
): Recording {
  const stepCount = candidates[0]?.correct.length ?? 1
  return {
    configuration: {
      format: 2,
      bundle: 'made-up',
      generator: 'a'.repeat(64),
      set: 'made-up',
      prompts: 'b'.repeat(64),
      images: 1,
      candidates: candidates.length / tags.length,
      seed: 0,
      stepCount,
      corrections: 0,
      guidance: 1,
      tokenCount: 4,
      codebookSize: 16,
    },
    prompts: tags.map((tag) => promptOf(tag)),
    candidates,
    steps: Array.from({ length: stepCount - firstStep }, (_, index) => firstStep + index),
    verifiers: [JUDGE],
    identities: { detector: 'c'.repeat(64), [JUDGE]: 'd'.repeat(64) },
  }
}
