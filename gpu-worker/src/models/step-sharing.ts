import { join } from 'node:path'
import { tensorContract } from './graph-answers.ts'
import type { Provider } from './providers.ts'
import { type SpentTime, startStopwatch } from './spent-time.ts'
import { SplitStep } from './split-step.ts'
import type { StepSession } from './step-session.ts'
import type { OpenRequest, StepRequest } from './thread-messages.ts'

/** Rows of the steps that are compared: a small tick, where sharing gains least. */
const TRIAL_ROWS = 4
/** Steps that are timed of each way; the best counts, since other work on the machine only ever adds time. */
const RUNS = 2
/** Twice the sessions, each with its own copy of the weights, must be so many times as fast. */
const ENOUGH = 1.05

/**
 * Shares the steps out between several sessions where the CPU is faster that way: a small model was one and a half times
 * as fast on two cores. A large one may not be, because each session reads weights of its own.
 *
 * @param whole  one session with all threads
 * @returns      undefined where `whole` should do all the work
 * @throws Error onnxruntime's own, when a further session cannot be opened
 */
export async function openSplitStep(
  { dir, graphs, contracts, codebookSize, threads, stepSessions }: OpenRequest,
  provider: Provider,
  whole: StepSession,
): Promise<SplitStep | undefined> {
  if (provider !== 'cpu') return undefined
  const settings = { graph: graphs.step, path: join(dir, graphs.step), contract: contracts.step, codebookSize }
  const open = (count: number): Promise<SplitStep> =>
    SplitStep.open(count, { ...settings, threads: Math.max(1, Math.floor(threads / count)) }, whole.prefixes)
  if (stepSessions !== undefined) return stepSessions > 1 ? open(stepSessions) : undefined

  const { unconditional } = whole.prefixes
  const tokenCount = Number(tensorContract(contracts.step.inputs, 'tokens').dims[1])
  const request = trialRequest(tokenCount, codebookSize)
  const [prompt] = request.prompts as [string]
  whole.prefixes.add(prompt, unconditional)
  const best = await growSharing(Math.min(threads, TRIAL_ROWS), open, async (split, before) => {
    await split.addPrefix(prompt, unconditional)
    return compare(before ?? whole, split, request)
  })
  whole.prefixes.drop(prompt)
  best?.forget(prompt)
  return best
}

/**
 * Doubles the sessions as long as that is worth it.
 *
 * @param open     something with so many sessions
 * @param gainOf   how many times as fast it is as what was best before; undefined stands for a single session
 * @returns        the best, or undefined for a single session; all others are released
 */
export async function growSharing<W extends { release(): Promise<void> }>(
  mostSessions: number,
  open: (sessionCount: number) => Promise<W>,
  gainOf: (split: W, before: W | undefined) => Promise<number>,
): Promise<W | undefined> {
  let best: W | undefined
  for (let count = 2; count <= mostSessions; count *= 2) {
    const split = await open(count)
    if ((await gainOf(split, best)) < ENOUGH) {
      await split.release()
      break
    }
    await best?.release()
    best = split
  }
  return best
}

/**
 * How many times as fast. The wall clock tells everything on a quiet machine, and mostly of others on a busy one; processor
 * time does not know how well threads work side by side. So each has half a say.
 */
export function gain(before: SpentTime, after: SpentTime): number {
  return Math.sqrt((before.ms / after.ms) * (before.processorMs / after.processorMs))
}

type Way = Pick<SplitStep, 'step'>

/** In turns, so that what else runs on the machine meanwhile meets both. */
async function compare(before: Way, after: Way, request: StepRequest): Promise<number> {
  const times: [SpentTime[], SpentTime[]] = [[], []]
  // The first turn warms up.
  for (let turn = 0; turn <= RUNS; turn++) {
    for (const [index, way] of [before, after].entries()) {
      const elapsed = startStopwatch()
      await way.step(request)
      if (turn > 0) times[index]?.push(elapsed())
    }
  }
  return gain(least(times[0]), least(times[1]))
}

function least(times: readonly SpentTime[]): SpentTime {
  return { ms: Math.min(...times.map(({ ms }) => ms)), processorMs: Math.min(...times.map((t) => t.processorMs)) }
}

/** What is in a step hardly matters to how long it takes. */
function trialRequest(tokenCount: number, codebookSize: number): StepRequest {
  return {
    rowCount: TRIAL_ROWS,
    tokens: new Int32Array(TRIAL_ROWS * tokenCount).fill(codebookSize),
    uniform: new Float32Array(TRIAL_ROWS * tokenCount).fill(0.5),
    guidance: new Float32Array(TRIAL_ROWS).fill(1),
    prompts: new Array<string>(TRIAL_ROWS).fill('trial'),
  }
}
