import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { LANES, type Lane } from '../shared/job.ts'
import { machine } from './bench-edge/machine.ts'
import { FLOOD_STRATEGIES, type FloodStrategy } from './bench-fairness/flood.ts'
import { measureFairness } from './bench-fairness/measure.ts'
import { tableOf } from './bench-fairness/table.ts'
import { runCommand } from './command.ts'
import { integerArgument } from './integer-argument.ts'

const USAGE = `npm run bench:fairness -- [--workers 1,3] [--tenants 2,10] [--strategies prm,parm] [--probes 12] [--at-once 1]
                     [--flood-jobs 8] [--flood-lane interactive]

One tenant floods the service with jobs of 32 candidates and 50 steps, accept best; the other tenants ask for default jobs.
Each of these is timed alone and beside the flood, in turns, in the whole service with the embedded bundle. A table, and
one line of JSON for each combination of the first three.
  --workers     worker processes; the cores are divided among them
  --tenants     the flooding one included; the others ask in turns
  --at-once     default jobs under way at a time, each of another tenant
  --flood-jobs  jobs of the flooding tenant under way at any time
  --flood-lane  interactive or batch; default jobs are interactive`

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      workers: text,
      tenants: text,
      strategies: text,
      probes: text,
      'at-once': text,
      'flood-jobs': text,
      'flood-lane': text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const listed = (list: string) => list.split(',').map((part) => part.trim())
  const workerCounts = listed(values.workers ?? '1,3').map((count) => integerArgument('--workers', count, 1, 16))
  const tenantCounts = listed(values.tenants ?? '2,10').map((count) => integerArgument('--tenants', count, 2, 100))
  const strategies = listed(values.strategies ?? 'prm,parm').map((name) =>
    oneOf('--strategies', name, FLOOD_STRATEGIES),
  )
  const lane: Lane = oneOf('--flood-lane', values['flood-lane'] ?? 'interactive', LANES)
  const probes = integerArgument('--probes', values.probes ?? '12', 2, 1000)
  const atOnce = integerArgument('--at-once', values['at-once'] ?? '1', 1, 100)
  const floodJobs = integerArgument('--flood-jobs', values['flood-jobs'] ?? '8', 1, 1000)
  const figures = []
  for (const workers of workerCounts) {
    for (const tenants of tenantCounts) {
      for (const strategy of strategies) {
        const flood: { strategy: FloodStrategy; lane: Lane; jobs: number } = { strategy, lane, jobs: floodJobs }
        const measured = await measureFairness({ workers, tenants, probes, atOnce, flood, tell: console.error })
        console.log(JSON.stringify({ ...measured, ...machine() }))
        figures.push(measured)
      }
    }
  }
  console.log(tableOf(figures))
  return 0
}

/** @throws AppError config_invalid */
function oneOf<T extends string>(flag: string, name: string, permitted: readonly T[]): T {
  const found = permitted.find((one) => one === name)
  if (found !== undefined) return found
  throw new AppError('config_invalid', `${flag}: expected ${permitted.join(' or ')}, got ${JSON.stringify(name)}`)
}

await runCommand(main, USAGE)
