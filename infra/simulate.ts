import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { DOLLARS_PER_TASK_HOUR } from './fleet-assumptions.ts'
import { integerArgument } from './integer-argument.ts'
import { makeTrace, TRACE_NAMES, type TraceName } from './simulate/arrival-traces.ts'
import { compareSignals, simulatedPolicy } from './simulate/comparison.ts'
import { growthLimits } from './simulate/growth-limits.ts'
import { MeasuredBundle } from './simulate/measure-service.ts'
import { checkService, MOST_ERROR } from './simulate/service-check.ts'
import { MEASURED_SERVICE_FILE, readMeasuredService, ServiceModel } from './simulate/service-model.ts'
import { plotsOf, reportOf, summaryOf } from './simulate/simulation-report.ts'

/** Prompts of each kind of job. */
const MEASURED_PROMPTS = 32
const CHECKED_PROMPTS = 24

const USAGE = `npm run simulate -- [--traces NAME,NAME] [--out DIR] [--seed N] [--max-tasks N] [--dollars N]
npm run simulate -- --check [--prompts N] [--bundle DIR]
npm run simulate -- --measure [--prompts N] [--bundle DIR]

Plays arrivals against the scaling rules of infra/scaling-policy.ts in virtual time, once scaling on messages and once on expected
row-steps; writes report.md and its plots to DIR (out/simulate). The last line is one JSON object.
  --traces       some of ${TRACE_NAMES.join(', ')}; default all
  --seed N       of the arrivals, 0..4294967295 (1)
  --max-tasks N  the largest fleet (24)
  --dollars N    for an hour of one task (${DOLLARS_PER_TASK_HOUR}, see infra/fleet-assumptions.ts)
  --check        times calls of the bundle on this machine, runs real jobs of prompts that were not measured, and says how far the
                 model of service times is off; fails beyond ${100 * MOST_ERROR}%
  --measure      measures the service times and how much work jobs turn out to be, and writes infra/simulate/measured-service.json
  --prompts N    of each kind of job, 1..40 (${CHECKED_PROMPTS} to check, ${MEASURED_PROMPTS} to measure); of few the luck of the draw is most of the error
  --bundle DIR   the bundle that is checked or measured; default the embedded one`

/** Assumed of a busy public service; both only decide where its hottest objects end. */
const LARGEST_TENANT = 0.2
const HOTTEST_PICTURE = 0.01

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: 'out/simulate' },
      seed: { type: 'string', default: '1' },
      'max-tasks': { type: 'string', default: '24' },
      dollars: { type: 'string', default: String(DOLLARS_PER_TASK_HOUR) },
      traces: { type: 'string', default: TRACE_NAMES.join(',') },
      check: { type: 'boolean' },
      measure: { type: 'boolean' },
      prompts: { type: 'string' },
      bundle: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (values.measure || values.check) {
    const usual = values.measure ? MEASURED_PROMPTS : CHECKED_PROMPTS
    const prompts = integerArgument('--prompts', values.prompts ?? String(usual), 1, 40)
    const bundle = await MeasuredBundle.open(values.bundle === undefined ? undefined : resolve(values.bundle))
    try {
      return await (values.measure ? measure(bundle, prompts) : check(bundle, prompts))
    } finally {
      await bundle.close()
    }
  }
  for (const flag of ['prompts', 'bundle'] as const) {
    if (values[flag] !== undefined) throw new AppError('config_invalid', `--${flag} goes with --check or --measure`)
  }
  const seed = integerArgument('--seed', values.seed, 0, 2 ** 32 - 1)
  const maxTasks = integerArgument('--max-tasks', values['max-tasks'], 1, 1000)
  const dollars = Number(values.dollars)
  if (!(dollars > 0)) throw new AppError('config_invalid', `--dollars: expected a price above 0, got ${values.dollars}`)
  return simulate({ outDir: resolve(values.out), names: traceNames(values.traces), seed, maxTasks, dollars })
}

interface SimulateOptions {
  readonly outDir: string
  readonly names: readonly TraceName[]
  readonly seed: number
  readonly maxTasks: number
  /** For an hour of one task. */
  readonly dollars: number
}

async function simulate({ outDir, names, seed, maxTasks, dollars }: SimulateOptions): Promise<number> {
  const measured = readMeasuredService()
  const model = new ServiceModel(measured)
  const policy = simulatedPolicy(model, maxTasks)
  const comparisons = names.map((name) => {
    const comparison = compareSignals(makeTrace(name, model, seed), model, policy)
    console.error(`${name}: ${comparison.trace.jobs.length} jobs`)
    return comparison
  })
  const kind = model.kind('default')
  const rowSteps = model.expectedRowSteps(kind)
  const limits = growthLimits({
    rowSteps,
    rowStepsPerSecond: model.rowStepsPerSecond,
    // With all slots in use, a job has its share of them.
    inFlightSeconds: (rowSteps / Math.min(kind.candidates, model.slots)) * (model.tickMs(model.slots) / 1000),
    largestTenant: LARGEST_TENANT,
    hottestPicture: HOTTEST_PICTURE,
  })
  const about =
    `Seed ${seed}, at most ${maxTasks} tasks, each as measured on ${measured.device} (${measured.date}, ${measured.bundle.id}): ` +
    `${model.slots} slots, ${model.rowStepsPerSecond.toFixed(0)} row-steps a second; $${dollars} a task-hour.`
  await mkdir(outDir, { recursive: true })
  await writeFile(join(outDir, 'report.md'), reportOf(comparisons, limits, about, dollars))
  for (const [name, svg] of plotsOf(comparisons)) await writeFile(join(outDir, name), svg)
  console.error(`report: ${join(outDir, 'report.md')}`)
  console.log(JSON.stringify(summaryOf(comparisons, limits, dollars)))
  return 0
}

async function measure(bundle: MeasuredBundle, promptsPerKind: number): Promise<number> {
  const measured = await bundle.measure('npm run simulate -- --measure', promptsPerKind)
  await writeFile(MEASURED_SERVICE_FILE, `${JSON.stringify(measured, null, 2)}\n`)
  console.log(JSON.stringify(measured))
  return 0
}

async function check(bundle: MeasuredBundle, promptsPerKind: number): Promise<number> {
  // Calls are timed anew, so that the model is checked and not whether this machine is the measured one.
  const costs = await bundle.callCosts()
  const measured = readMeasuredService()
  if (measured.bundle.revision !== bundle.revision) {
    console.error(`${MEASURED_SERVICE_FILE} is of another bundle: npm run simulate -- --measure renews it`)
  }
  const real = await bundle.run(promptsPerKind, 1)
  const result = checkService(new ServiceModel({ ...measured, costs }), real)
  console.log(JSON.stringify(result))
  return Math.abs(result.error) <= MOST_ERROR ? 0 : 1
}

function traceNames(text: string): TraceName[] {
  return text.split(',').map((given) => {
    const name = TRACE_NAMES.find((known) => known === given.trim())
    if (name !== undefined) return name
    throw new AppError(
      'config_invalid',
      `--traces: expected some of ${TRACE_NAMES.join(', ')}, got ${JSON.stringify(given)}`,
    )
  })
}

await runCommand(main, USAGE)
