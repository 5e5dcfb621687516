import { chooseVerifier } from '../cli/engine-settings.ts'
import { detectorOf, verifierNamed } from '../cli/local-engine.ts'
import { createEngine } from '../engine/engine.ts'
import type { PreparedPrompt } from '../engine/ports.ts'
import { openYardstick } from '../geneval/strict/yardstick.ts'
import { type Bundle, openBundle } from '../models/bundle-loader.ts'
import type { Provider } from '../models/providers.ts'
import type { RowWarmUp } from '../models/row-warm-up.ts'
import { subtractTime } from '../models/spent-time.ts'
import { benchJob, pathLengthOf, successOf } from './bench-job.ts'
import { CALLS, type Call } from './call-costs.ts'
import { readPromptGroups } from './options.ts'
import { type Placement, placementOf } from './placement.ts'
import { type RightCount, RightPictures } from './right-pictures.ts'
import { round } from './statistics.ts'
import { type StepAgreement, stepAgreement, trialRows } from './step-agreement.ts'

export interface ProviderPlan {
  readonly bundleDir: string
  readonly threads: number
  /** undefined: the row budget that was found, or a worker's number on a CPU. */
  readonly slots: number | undefined
  readonly mostRows: number
  readonly candidates: number
  /** Jobs of each GenEval task. */
  readonly perTask: number
  /** undefined: the bundle's default. */
  readonly steps: number | undefined
  readonly onProgress: (line: string) => void
}

/** What one provider did with a bundle, as far as it came. */
export interface ProviderReport {
  readonly provider: Provider
  /** Why it cannot be used, or why the measuring ended early. */
  readonly error?: string
  readonly bundle?: string
  readonly revision?: string
  /** From the call to a bundle ready to serve, trial runs and all. */
  readonly openMs?: number
  readonly rowBudget?: number
  readonly stepSessions?: number
  readonly rowWarmUp?: RowWarmUp
  /** Of the step's kernels. */
  readonly placement?: Placement
  readonly step?: readonly CallRate[]
  readonly decode?: readonly CallRate[]
  readonly judge?: readonly CallRate[]
  readonly agreement?: StepAgreement
  readonly jobs?: readonly JobsReport[]
}

export interface CallRate {
  readonly rows: number
  /** The first call of this size: kernels may be compiled or chosen in it. */
  readonly firstMs: number
  /** A call that comes after one of another size, all sizes having been there before: some plan at every change. */
  readonly changedMs: number
  /** The median of further ones of this size, there and back between threads. */
  readonly ms: number
  /** Of it inside onnxruntime, the mean. */
  readonly runtimeMs: number
  readonly rowsPerSecond: number
}

export interface JobsReport {
  readonly accept: 'best' | 'first'
  readonly slots: number
  readonly jobs: number
  readonly seconds: number
  readonly imagesPerMinute: number
  readonly rowSteps: number
  readonly rowStepsPerSecond: number
  readonly judgeCalls: number
  /** Pictures that are right by the yardstick, and by GenEval's rules over the detector. */
  readonly right: RightCount
}

const CPU_SLOTS = 8
/** A size is timed for so long, or so many times. */
const TIMED_MS = 400
const TIMED_CALLS = 30
/** Larger batches than one that takes so long are not tried. */
const LONGEST_CALL_MS = 4000

/** Never throws for a provider that cannot be used; that is a finding. */
export async function measureProvider(provider: Provider, plan: ProviderPlan): Promise<ProviderReport> {
  const { bundleDir, threads, onProgress } = plan
  let report: ProviderReport = { provider }
  const add = (findings: Partial<ProviderReport>): void => {
    report = { ...report, ...findings }
    onProgress(`${provider}: ${JSON.stringify(findings)}`)
  }
  let bundle: Bundle | undefined
  try {
    const startedMs = performance.now()
    bundle = await openBundle(bundleDir, { providers: [provider], threads })
    const { manifest, rowBudget, stepSessions, rowWarmUp } = bundle
    add({ bundle: manifest.id, revision: manifest.revision.slice(0, 12), openMs: round(performance.now() - startedMs) })
    add({ stepSessions, ...(rowBudget !== undefined && { rowBudget }), ...(rowWarmUp && { rowWarmUp }) })
    add({ placement: await placementOf(manifest, bundleDir, provider, threads) })
    const calls = callsOf(bundle, await bundle.generator.prepare(manifest.prompt.examples[0] ?? ''))
    for (const call of CALLS) add({ [call]: await measureCall(bundle, calls[call], plan.mostRows) })
    add({ agreement: await compareWithCpu(bundle, plan) })
    for (const accept of ['best', 'first'] as const) {
      add({ jobs: [...(report.jobs ?? []), await measureJobs(bundle, accept, plan)] })
    }
  } catch (cause) {
    add({ error: cause instanceof Error ? cause.message : String(cause) })
  } finally {
    await bundle?.close()
  }
  return report
}

/** Prepares each call of the models on so many rows: drawing their input takes longer than some calls do. */
function callsOf(bundle: Bundle, prompt: PreparedPrompt): Record<Call, (rows: number) => () => Promise<unknown>> {
  const { generator, manifest } = bundle
  const verifier = verifierNamed(bundle, chooseVerifier(manifest, undefined))
  const { guidance } = manifest.generator.defaults
  const codes = new Int32Array(generator.tokenCount)
  const pixels = new Uint8Array(generator.imageSize[0] * generator.imageSize[1] * 3).fill(128)
  return {
    step: (rows) => {
      const input = trialRows(generator, guidance, [prompt], rows)
      return () => generator.step(input)
    },
    decode: (rows) => {
      const input = new Array<Int32Array>(rows).fill(codes)
      return () => generator.decode(input)
    },
    judge: (rows) => {
      const input = Array.from({ length: rows }, () => ({ pixels, prompt }))
      return () => verifier.judge(input)
    },
  }
}

async function measureCall(
  bundle: Bundle,
  prepare: (rows: number) => () => Promise<unknown>,
  mostRows: number,
): Promise<CallRate[]> {
  const rates: Omit<CallRate, 'changedMs'>[] = []
  for (let rows = 1; rows <= mostRows; rows *= 2) {
    const rate = await timeCall(bundle, rows, prepare(rows))
    rates.push(rate)
    if (rate.ms > LONGEST_CALL_MS) break
  }
  const changed: number[] = []
  for (const { rows } of rates) changed.push(await timeOnce(prepare(rows)))
  return rates.map((rate, place) => ({ ...rate, changedMs: round(changed[place] as number) }))
}

async function timeOnce(call: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await call()
  return performance.now() - startedMs
}

async function timeCall(
  bundle: Bundle,
  rows: number,
  call: () => Promise<unknown>,
): Promise<Omit<CallRate, 'changedMs'>> {
  const firstMs = await timeOnce(call)
  const before = bundle.spent
  const times: number[] = []
  let total = 0
  while (times.length === 0 || (times.length < TIMED_CALLS && total < TIMED_MS)) {
    const ms = await timeOnce(call)
    times.push(ms)
    total += ms
  }
  const runtimeMs = subtractTime(bundle.spent, before).ms / times.length
  const ms = times.sort((a, b) => a - b)[Math.floor(times.length / 2)] as number
  return {
    rows,
    firstMs: round(firstMs),
    ms: round(ms),
    runtimeMs: round(runtimeMs),
    rowsPerSecond: round((rows / ms) * 1000),
  }
}

/** The same bundle on the CPU draws from the same rows. */
async function compareWithCpu(bundle: Bundle, { bundleDir, threads, mostRows }: ProviderPlan): Promise<StepAgreement> {
  const { manifest } = bundle
  const prepare = (of: Bundle): Promise<PreparedPrompt[]> =>
    Promise.all(manifest.prompt.examples.map((prompt) => of.generator.prepare(prompt)))
  const cpu = await openBundle(bundleDir, { providers: ['cpu'], threads, stepSessions: 1 })
  try {
    const { guidance } = manifest.generator.defaults
    return await stepAgreement(
      bundle.generator,
      cpu.generator,
      guidance,
      await prepare(bundle),
      await prepare(cpu),
      mostRows,
    )
  } finally {
    await cpu.close()
  }
}

/** All jobs at once, with the search that is served; the first of them warms up before. */
async function measureJobs(bundle: Bundle, accept: 'best' | 'first', plan: ProviderPlan): Promise<JobsReport> {
  const { manifest, generator } = bundle
  const detector = detectorOf(bundle)
  const slots = plan.slots ?? bundle.rowBudget ?? CPU_SLOTS
  const verifier = verifierNamed(bundle, chooseVerifier(manifest, undefined))
  const settings = {
    manifest,
    verifier,
    candidates: plan.candidates,
    ...pathLengthOf(plan, manifest),
  }
  const prompts = (await readPromptGroups(detector.entry, plan.perTask, 1)).flat()
  const engine = createEngine({ generator, clock: performance, slots })
  const stopping = new AbortController()
  const running = engine.run(stopping.signal)
  const make = (texts: readonly string[], picture: number) =>
    Promise.all(
      texts.map((prompt, place) => {
        const job = benchJob(settings, `${picture}-${place}`, prompt, picture, { strategy: 'parm', accept })
        return engine.submit(job, () => {}).outcome.then(successOf)
      }),
    )
  const texts = prompts.map(({ prompt }) => prompt)
  await make(texts.slice(0, 1), 1)
  const startedMs = performance.now()
  const outcomes = await make(texts, 0)
  const seconds = (performance.now() - startedMs) / 1000
  stopping.abort()
  await running
  const yardstick = await openYardstick(plan.bundleDir, detector, generator)
  const drawn = prompts.map((prompt, place) => ({
    prompt,
    pixels: (outcomes[place] as (typeof outcomes)[number]).pixels,
  }))
  const rowSteps = outcomes.reduce((sum, { cost }) => sum + cost.rowSteps, 0)
  return {
    accept,
    slots,
    jobs: outcomes.length,
    seconds: round(seconds),
    imagesPerMinute: round((outcomes.length / seconds) * 60),
    rowSteps,
    rowStepsPerSecond: round(rowSteps / seconds),
    judgeCalls: outcomes.reduce((sum, { cost }) => sum + cost.judgeCalls, 0),
    right: await new RightPictures(yardstick).count(drawn),
  }
}
