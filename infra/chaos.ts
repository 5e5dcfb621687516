import { parseArgs } from 'node:util'
import { complaintsAbout } from './chaos/chaos-report.ts'
import { runChaos } from './chaos/chaos-run.ts'
import { runCommand } from './command.ts'
import { integerArgument } from './integer-argument.ts'
import { outsideQueue, QUEUE_URL_FLAGS } from './local/outside-queue.ts'

const USAGE = `npm run chaos -- [--jobs 1000] [--seed 1] [--workers 3] [--in-flight 24] [--queue-url-interactive URL --queue-url-batch URL]

The whole service under faults: workers and edge are killed, messages doubled, delayed and not deleted, the queue goes away,
uploads are slow or fail, clocks are wrong, calls are altered and replayed, readers are slow. Then every job is judged from
outside. A tiny bundle of real graphs makes it fast. The last line is always one JSON object; exit code 1 when anything was lost,
doubled or stuck, when an invariant is broken, or when fewer faults happened than one for every five jobs. The same seed plans the
same jobs and faults.
  --queue-url-*  queues of another implementation of SQS, each with a dead-letter queue; AWS_* as it wants them`

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      jobs: text,
      seed: text,
      workers: text,
      'in-flight': text,
      ...QUEUE_URL_FLAGS,
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const report = await runChaos({
    jobs: integerArgument('--jobs', values.jobs ?? '1000', 1, 100_000),
    seed: integerArgument('--seed', values.seed ?? '1', 0, 4_294_967_295),
    workers: integerArgument('--workers', values.workers ?? '3', 1, 16),
    inFlight: integerArgument('--in-flight', values['in-flight'] ?? '24', 1, 500),
    outsideQueue: outsideQueue(values, process.env),
    tell: (line) => console.log(line),
  })
  const complaints = complaintsAbout(report)
  for (const complaint of complaints) console.error(complaint)
  console.log(JSON.stringify(report))
  return complaints.length === 0 ? 0 : 1
}

await runCommand(main, USAGE)
