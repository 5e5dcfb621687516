import { cpus } from 'node:os'
import { Arguments, UsageError } from '../cli/arguments.ts'
import { commit } from '../cli/commit.ts'
import { ENGINE_FLAGS, ENGINE_HELP, readEngineSettings } from '../cli/engine-settings.ts'
import { runProgram } from '../cli/program.ts'
import { PROVIDERS } from '../models/providers.ts'
import { measureProvider, type ProviderPlan, type ProviderReport } from './provider-report.ts'

const FLAGS = ['size', 'most-rows', 'candidates', 'per-task', ...ENGINE_FLAGS] as const

/** How much is measured. `quick` shows that it works and what it prints. */
const SIZES = {
  full: { mostRows: 256, candidates: 20, perTask: 4, steps: undefined },
  quick: { mostRows: 2, candidates: 2, perTask: 1, steps: 2 },
} as const

const HELP = `npm run bench:gpu -- [flags]

Tries execution providers one by one on a bundle: why one cannot be used, or row-steps, decoded and judged pictures a
second by batch size, whether it draws what the CPU draws, and pictures a minute of whole jobs. A provider that takes
the process with it takes the figures with it, so name one a run where a driver is not trusted. The last line of stdout
is one JSON object; progress goes to stderr.

  --size S             full, or quick: only to see that it works (full)
  --most-rows N        largest batch (${SIZES.full.mostRows})
  --candidates N       candidates of a job (${SIZES.full.candidates})
  --per-task N         jobs of each GenEval task, all at once (${SIZES.full.perTask})

${ENGINE_HELP}
                       --slots: without it what a tick of this provider should have, as a worker chooses;
                       --provider: all of them, none in place of another`

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, FLAGS)
  if (parsed.help) {
    console.log(HELP)
    return
  }
  if (parsed.positionals.length > 0) throw new UsageError(`expected flags only, got "${parsed.positionals.join(' ')}"`)
  const size = SIZES[parsed.choice('size', ['full', 'quick'] as const, 'full')]
  const { bundleDir, slots, threads } = readEngineSettings(parsed)
  const plan: ProviderPlan = {
    bundleDir,
    threads,
    slots: parsed.text('slots') === undefined ? undefined : slots,
    mostRows: parsed.integer('most-rows', { min: 1, max: 4096 }, size.mostRows),
    candidates: parsed.integer('candidates', { min: 1, max: 64 }, size.candidates),
    perTask: parsed.integer('per-task', { min: 1, max: 50 }, size.perTask),
    steps: size.steps,
    onProgress: (line) => console.error(line),
  }
  const providers: ProviderReport[] = []
  for (const provider of parsed.choices('provider', PROVIDERS, PROVIDERS)) {
    providers.push(await measureProvider(provider, plan))
  }
  const processor = cpus()[0]?.model.trim() ?? 'unknown'
  console.log(JSON.stringify({ commit: commit(), node: process.version, processor, threads, providers }))
}

await runProgram('bench:gpu', main)
