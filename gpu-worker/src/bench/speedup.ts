import { createEngine } from '../engine/engine.ts'
import type { EngineJob, Pixels } from '../engine/ports.ts'
import { type Estimate, PromptBootstrap } from '../geneval/comparison/bootstrap.ts'
import type { GenevalPrompt } from '../geneval/metadata.ts'
import { type Score, scoreImages } from '../geneval/scores.ts'
import type { PictureVerdict, Yardstick } from '../geneval/strict/yardstick.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { type SpentTime, startStopwatch } from '../models/spent-time.ts'
import { type BenchSettings, benchJob, successOf } from './bench-job.ts'
import { runReference } from './reference-procedure.ts'
import { judgeDrawn } from './right-pictures.ts'
import { round, type Spread, spreadOf } from './statistics.ts'

export interface SpeedupOptions extends BenchSettings {
  readonly bundle: Bundle
  readonly yardstick: Yardstick
  readonly slots: number
  /** One group is made at a time by each method; groups take turns. */
  readonly groups: readonly (readonly GenevalPrompt[])[]
  readonly onProgress: (line: string) => void
}

/** `best` and `first` are as served, `halving` is accept `best` with successive halving. */
const ENGINE_METHODS = ['best', 'halving', 'first'] as const
type EngineMethod = (typeof ENGINE_METHODS)[number]
const METHODS = ['reference', ...ENGINE_METHODS] as const
type Method = (typeof METHODS)[number]

const RULES: Readonly<
  Record<EngineMethod, Pick<EngineJob['parameters'], 'accept'> & Partial<Pick<EngineJob, 'search'>>>
> = {
  best: { accept: 'best' },
  halving: { accept: 'best', search: 'halving' },
  first: { accept: 'first' },
}

export interface MethodReport {
  /** Verified pictures a minute. */
  readonly imagesPerMinute: Spread
  /** Processor time of one picture, all threads, milliseconds: less disturbed by other work on the machine. */
  readonly processorMsPerImage: Spread
  readonly rowStepsPerImage: number
  readonly judgedPicturesPerImage: number
  /** By the yardstick. */
  readonly strict: Score
  /** By GenEval's rules over the detector. */
  readonly geneval: Score
  /** The yardstick's score minus the reference's, of the same prompts and seeds, with its 95% interval over prompts. */
  readonly gain: Estimate
}

export interface Speedup {
  readonly candidates: number
  readonly images: number
  /** Pictures a minute over the reference's, round by round. */
  readonly best: Spread
  readonly halving: Spread
  readonly first: Spread
  /** The same by processor time. */
  readonly byProcessorTime: Readonly<Record<EngineMethod, Spread>>
  readonly methods: Readonly<Record<Method, MethodReport>>
}

interface Picture {
  readonly pixels: Pixels
  readonly rowSteps: number
  readonly judgeCalls: number
}

interface Turn extends SpentTime {
  readonly images: number
  readonly pictures: readonly Picture[]
}

/**
 * Verified pictures a minute against the paper's released procedure on the same sessions and threads. The prompts of a
 * group are one method's turn: the reference takes them one by one, the engine all at once.
 */
export async function measureSpeedup(options: SpeedupOptions): Promise<Speedup> {
  const { groups, onProgress } = options
  const turns: Record<Method, Turn[]> = { reference: [], best: [], halving: [], first: [] }
  await warmUp(options)
  for (const [index, prompts] of groups.entries()) {
    // Another order each time, so that a drift of the machine favours nobody.
    const order = METHODS.map((_, place) => METHODS[(place + index) % METHODS.length] as Method)
    for (const method of order) {
      turns[method].push(await takeTurn(method, prompts, index, options))
      onProgress(`speedup: round ${index + 1} of ${groups.length}, ${method}`)
    }
  }
  const against = (cost: (turn: Turn) => number): Record<EngineMethod, Spread> => {
    const ratios = (method: EngineMethod): Spread =>
      spreadOf(turns[method].map((turn, index) => cost(turns.reference[index] as Turn) / cost(turn)))
    return { best: ratios('best'), halving: ratios('halving'), first: ratios('first') }
  }
  return {
    candidates: options.candidates,
    images: groups.flat().length,
    ...against(perImage('ms')),
    byProcessorTime: against(perImage('processorMs')),
    methods: await reportMethods(turns, options),
  }
}

async function reportMethods(
  turns: Readonly<Record<Method, readonly Turn[]>>,
  options: SpeedupOptions,
): Promise<Record<Method, MethodReport>> {
  const prompts = options.groups.flat()
  const reference = await verdictsOn(turns.reference, options)
  const bootstrap = new PromptBootstrap(
    prompts.map(({ tag }) => tag),
    0,
  )
  const report = async (method: Method): Promise<MethodReport> => {
    const verdicts = method === 'reference' ? reference : await verdictsOn(turns[method], options)
    const differences = verdicts.map(({ correct }, index) => Number(correct) - Number(reference[index]?.correct))
    return {
      ...costOf(turns[method]),
      strict: scoreOf(prompts, verdicts, ({ correct }) => correct),
      geneval: scoreOf(prompts, verdicts, ({ geneval }) => geneval),
      gain: bootstrap.estimate(differences).overall,
    }
  }
  return {
    reference: await report('reference'),
    best: await report('best'),
    halving: await report('halving'),
    first: await report('first'),
  }
}

const perImage = (key: keyof SpentTime) => (turn: Turn) => turn[key] / turn.images

async function warmUp(options: SpeedupOptions): Promise<void> {
  const [prompts = []] = options.groups
  const short = { ...options, candidates: Math.min(2, options.candidates) }
  for (const method of METHODS) await takeTurn(method, prompts.slice(0, 1), 0, short)
}

async function takeTurn(
  method: Method,
  prompts: readonly GenevalPrompt[],
  index: number,
  options: SpeedupOptions,
): Promise<Turn> {
  const elapsed = startStopwatch()
  const pictures = await (method === 'reference'
    ? takeOneByOne(prompts, index, options)
    : takeTogether(method, prompts, index, options))
  return { images: pictures.length, pictures, ...elapsed() }
}

async function takeOneByOne(prompts: readonly GenevalPrompt[], index: number, options: SpeedupOptions) {
  const pictures: Picture[] = []
  for (const { prompt } of prompts) {
    const job = benchJob(options, prompt, prompt, index, { strategy: 'parm', accept: 'best' })
    pictures.push(await runReference(job, options.bundle.generator))
  }
  return pictures
}

async function takeTogether(
  method: EngineMethod,
  prompts: readonly GenevalPrompt[],
  index: number,
  options: SpeedupOptions,
): Promise<Picture[]> {
  const engine = createEngine({ generator: options.bundle.generator, clock: performance, slots: options.slots })
  const stopping = new AbortController()
  const running = engine.run(stopping.signal)
  const { accept, ...search } = RULES[method]
  const jobs = prompts.map(({ prompt }, place) => {
    const job = benchJob(options, `${place}`, prompt, index, { strategy: 'parm', accept })
    return engine.submit({ ...job, ...search }, () => {})
  })
  const outcomes = await Promise.all(jobs.map((job) => job.outcome))
  stopping.abort()
  await running
  return outcomes.map(successOf).map(({ pixels, cost }) => ({ pixels, ...cost }))
}

function costOf(turns: readonly Turn[]): Omit<MethodReport, 'strict' | 'geneval' | 'gain'> {
  const pictures = turns.flatMap((turn) => turn.pictures)
  const mean = (value: (picture: Picture) => number): number =>
    round(pictures.reduce((sum, picture) => sum + value(picture), 0) / pictures.length)
  return {
    imagesPerMinute: spreadOf(turns.map((turn) => (turn.images / turn.ms) * 60_000)),
    processorMsPerImage: spreadOf(turns.map(perImage('processorMs'))),
    rowStepsPerImage: mean(({ rowSteps }) => rowSteps),
    judgedPicturesPerImage: mean(({ judgeCalls }) => judgeCalls),
  }
}

/** Of one method's pictures; every prompt has one. */
async function verdictsOn(turns: readonly Turn[], { groups, yardstick }: SpeedupOptions): Promise<PictureVerdict[]> {
  const drawn = groups.flatMap((prompts, index) => {
    const { pictures } = turns[index] as Turn
    return prompts.map((prompt, place) => ({ prompt, pixels: (pictures[place] as Picture).pixels }))
  })
  return judgeDrawn(yardstick, drawn)
}

function scoreOf(
  prompts: readonly GenevalPrompt[],
  verdicts: readonly PictureVerdict[],
  isRight: (verdict: PictureVerdict) => boolean,
): Score {
  const images = verdicts.map((verdict, prompt) => ({
    prompt,
    tag: (prompts[prompt] as GenevalPrompt).tag,
    correct: isRight(verdict),
  }))
  const { score, low, high } = scoreImages(images).overall
  return { score: round(score), low: round(low), high: round(high) }
}
