import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runSoak } from './chaos/soak-run.ts'
import { writeTinyBundle } from './chaos/tiny-bundle.ts'
import { runCommand } from './command.ts'
import { outsideQueue, QUEUE_URL_FLAGS } from './local/outside-queue.ts'

const USAGE = `npm run soak -- [--jobs 2000] [--bundle DIR] [--queue-url-interactive URL --queue-url-batch URL]

Many jobs through one worker, on Linux. The last line is one JSON object: the worker's memory and descriptors after a quarter of
the jobs and at the end. Exit code 1 when its memory grew by 5% or more, when descriptors leak, or when a job did not end.
  --bundle       default: a tiny one of real graphs, which takes all jobs in minutes
  --queue-url-*  queues of another implementation of SQS; AWS_* as it wants them`

const MOST_GROWTH = 0.05
/** Connections come and go; a leak grows with the jobs. */
const MOST_MORE_DESCRIPTORS = 8

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { jobs: text, bundle: text, ...QUEUE_URL_FLAGS, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const jobs = Number(values.jobs ?? '2000')
  if (!Number.isInteger(jobs) || jobs < 20) {
    throw new AppError('config_invalid', `--jobs: expected an integer >= 20, got ${JSON.stringify(values.jobs)}`)
  }
  const dir = await mkdtemp(join(tmpdir(), 'parm-soak-'))
  try {
    const bundleDir = values.bundle === undefined ? dir : resolve(values.bundle)
    if (values.bundle === undefined) await writeTinyBundle(dir)
    const outside = outsideQueue(values, process.env)
    const report = await runSoak({ jobs, bundleDir, outsideQueue: outside, tell: (line) => console.log(line) })
    console.log(JSON.stringify(report))
    const { growth, unfinished, warmDescriptors, endDescriptors } = report
    const isFlat = growth < MOST_GROWTH && endDescriptors <= warmDescriptors + MOST_MORE_DESCRIPTORS
    return isFlat && unfinished === 0 ? 0 : 1
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

await runCommand(main, USAGE)
