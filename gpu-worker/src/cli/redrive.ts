import { LANES, type Lane } from '../../../shared/job.ts'
import { parseConfig } from '../config.ts'
import { readJobMessage } from '../job-message.ts'
import { BATCH_SIZE, type Delivery, QueueClient } from '../queue-client.ts'
import { Arguments, UsageError } from './arguments.ts'
import { runProgram } from './program.ts'

const USAGE = `npm run redrive -- list|move [--lane interactive|batch] [--max 1000]

The dead letters of the queues that PARM_QUEUE_URL_INTERACTIVE and PARM_QUEUE_URL_BATCH name (AWS_* as for a worker), one line
each. Workers end the jobs of all letters that they can read, so what stays is what they cannot.
  list    looks and leaves them
  move    puts them back into their queue, where they count as new; a job that has ended meanwhile is not run again
  --lane  only this one
  --max   letters to look at, at most`

/** As long as one run of this may take; letters that stay are seen by others after it. */
const HIDDEN_SECONDS = 120

interface Source {
  readonly lane: Lane
  readonly url: string
  readonly deadLetterUrl: string
}

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, ['lane', 'max'])
  const [command, ...more] = parsed.positionals
  if (parsed.help) {
    console.log(USAGE)
    return
  }
  if ((command !== 'list' && command !== 'move') || more.length > 0) {
    throw new UsageError(`expected list or move, got ${JSON.stringify(parsed.positionals.join(' '))}`)
  }
  const lanes = parsed.choices('lane', LANES, LANES)
  let left = parsed.integer('max', { min: 1, max: 1_000_000 }, 1000)
  const queues = parseConfig(process.env).queues.filter(({ lane }) => lanes.includes(lane))
  const client = new QueueClient(queues[0]?.url ?? '', 1)
  try {
    const seen: Seen[] = []
    for (const source of await sourcesOf(client, queues)) {
      for await (const letter of letters(client, source.deadLetterUrl, left)) {
        left -= 1
        seen.push({ source, letter })
        console.log(describe(source.lane, letter))
        if (command === 'move') await move(client, source, letter)
      }
    }
    if (command === 'list') await Promise.all(seen.map((one) => showAgain(client, one)))
    console.log(`${seen.length} ${command === 'list' ? 'found' : 'moved'}`)
  } finally {
    client.close()
  }
}

interface Seen {
  readonly source: Source
  readonly letter: Delivery
}

const showAgain = (client: QueueClient, { source, letter }: Seen): Promise<void> =>
  client.setVisibility(source.deadLetterUrl, letter.receiptHandle, 1)

async function sourcesOf(client: QueueClient, queues: readonly { lane: Lane; url: string }[]): Promise<Source[]> {
  const sources: Source[] = []
  for (const { lane, url } of queues) {
    const deadLetterUrl = await client.deadLetterUrl(url)
    if (deadLetterUrl === undefined) console.error(`the ${lane} queue has no dead-letter queue`)
    else sources.push({ lane, url, deadLetterUrl })
  }
  return sources
}

/** Each letter once: what was seen is hidden until the end of the run. */
async function* letters(client: QueueClient, url: string, max: number): AsyncGenerator<Delivery> {
  for (let left = max; left > 0; ) {
    const options = { max: Math.min(BATCH_SIZE, left), waitSeconds: 1, visibilitySeconds: HIDDEN_SECONDS }
    const batch = await client.receive(url, options)
    if (batch.length === 0) return
    left -= batch.length
    yield* batch
  }
}

/** Sent before it is deleted: dying in between makes two messages of it, of which one is answered `done`; never none. */
async function move(client: QueueClient, { url, deadLetterUrl }: Source, letter: Delivery): Promise<void> {
  const read = readJobMessage(letter.body)
  await client.send(url, letter.body, read.kind === 'valid' ? read.message.tenant : undefined)
  await client.delete(deadLetterUrl, letter.receiptHandle)
}

/** Never the body itself: it holds the job's key. */
function describe(lane: Lane, { messageId, body, sentAt, receiveCount }: Delivery): string {
  const read = readJobMessage(body)
  const sent = sentAt === undefined ? 'unknown' : new Date(sentAt).toISOString()
  const what =
    read.kind === 'valid'
      ? `job=${read.message.jobId} tenant=${read.message.tenant}`
      : read.kind === 'refused'
        ? `job=${read.envelope.jobId} problem=${JSON.stringify(read.problem)}`
        : `problem=${JSON.stringify(read.problem)}`
  return `${lane} message=${messageId} sent=${sent} receives=${receiveCount} ${what}`
}

await runProgram('redrive', main)
