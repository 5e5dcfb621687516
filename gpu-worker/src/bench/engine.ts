import { cpus } from 'node:os'
import { Arguments } from '../cli/arguments.ts'
import { commit } from '../cli/commit.ts'
import { chooseVerifier } from '../cli/engine-settings.ts'
import { detectorOf, openBundleFor, verifierNamed } from '../cli/local-engine.ts'
import { runProgram } from '../cli/program.ts'
import { openYardstick } from '../geneval/strict/yardstick.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { type BenchSettings, pathLengthOf } from './bench-job.ts'
import { measureGoodput } from './goodput.ts'
import { measureMemory } from './memory.ts'
import { BENCH_FLAGS, BENCH_HELP, type BenchPlan, type Part, readBenchPlan, readPromptGroups } from './options.ts'
import { measurePeakShare } from './peak-share.ts'
import { measureSchedulerShare } from './scheduler-share.ts'
import { measureSpeedup } from './speedup.ts'

/** Prompt groups whose prompts the parts besides the comparison use: one prompt of each task in each. */
const SERVED_GROUPS = 4

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, BENCH_FLAGS)
  if (parsed.help) {
    console.log(BENCH_HELP)
    return
  }
  const plan = readBenchPlan(parsed)
  const bundle = await openBundleFor(plan.settings)
  try {
    const results: Partial<Record<Part, unknown>> = {}
    const seconds: Partial<Record<Part, number>> = {}
    for (const part of plan.parts) {
      const startedMs = performance.now()
      results[part] = await measure(part, plan, bundle)
      seconds[part] = Math.round((performance.now() - startedMs) / 1000)
    }
    console.log(JSON.stringify({ ...circumstances(plan, bundle), seconds, ...results }))
  } finally {
    await bundle.close()
  }
}

async function measure(part: Part, plan: BenchPlan, bundle: Bundle): Promise<unknown> {
  const { settings, repeats, servedCandidates } = plan
  const { slots, threads, bundleDir } = settings
  const { manifest } = bundle
  const detector = detectorOf(bundle)
  const yardstick = await openYardstick(bundleDir, detector, bundle.generator)
  const verifier = verifierNamed(bundle, chooseVerifier(manifest, undefined))
  const length = pathLengthOf(plan, manifest)
  const bench = (candidates: number): BenchSettings => ({ manifest, verifier, candidates, ...length })
  const scorable = async () => {
    const groups = await readPromptGroups(detector.entry, plan.perTask, plan.steps === undefined ? SERVED_GROUPS : 1)
    return groups.flat()
  }
  const served = async (): Promise<string[]> => (await scorable()).map(({ prompt }) => prompt)
  const common = { ...bench(servedCandidates), ...length, bundle, slots, onProgress }
  switch (part) {
    case 'memory':
      return measureMemory({ ...common, prompts: await served(), jobs: plan.jobs })
    case 'peak_share':
      return measurePeakShare({ bundleDir, bundle, threads, rows: slots, rounds: repeats })
    case 'scheduler_share':
      return measureSchedulerShare({
        ...common,
        ...bench(plan.candidates),
        prompts: await served(),
        waiting: plan.waiting,
        rounds: repeats,
      })
    case 'speedup_vs_reference': {
      const groups = await readPromptGroups(detector.entry, plan.perTask, repeats)
      return measureSpeedup({ ...common, ...bench(plan.candidates), yardstick, groups })
    }
    case 'goodput':
      return measureGoodput({
        ...common,
        yardstick,
        threads,
        mostCandidates: plan.candidates,
        prompts: await scorable(),
        loads: plan.loads,
        jobsPerLoad: plan.jobsPerLoad,
        rounds: repeats,
      })
    default: {
      const never: never = part
      throw new TypeError(`unknown part ${never}`)
    }
  }
}

/** What a figure must be read with. */
function circumstances({ settings, repeats }: BenchPlan, { manifest, provider, stepSessions }: Bundle): object {
  return {
    bundle: manifest.id,
    revision: manifest.revision.slice(0, 12),
    commit: commit(),
    node: process.version,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    provider,
    threads: settings.threads,
    stepSessions,
    slots: settings.slots,
    repeats,
  }
}

function onProgress(line: string): void {
  console.error(line)
}

await runProgram('bench:engine', main)
