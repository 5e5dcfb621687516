import { parseArgs } from 'node:util'
import { measureFanIn } from './bench-edge/fan-in.ts'
import { compareHits } from './bench-edge/hit-comparison.ts'
import { machine } from './bench-edge/machine.ts'
import { measureOpenStreams } from './bench-edge/open-streams.ts'
import { messageOf, PlayedWorker } from './bench-edge/played-worker.ts'
import { type Stand, startStand } from './bench-edge/stand.ts'
import { runCommand } from './command.ts'
import { integerArgument } from './integer-argument.ts'

const USAGE = `npm run bench:edge -- [--rounds 60] [--block-ms 200] [--connections 16] [--streams 1000] [--callers 500]

Cached lookups against a bare Hono route with a body of the same size, in the same workerd, in turns; then so many open
event streams of one job, and so many identical requests at once. The last line is one JSON object.`

const PROMPT = 'a photo of a red apple'

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      rounds: text,
      'block-ms': text,
      connections: text,
      streams: text,
      callers: text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const rounds = integerArgument('--rounds', values.rounds ?? '60', 1, 1000)
  const blockMs = integerArgument('--block-ms', values['block-ms'] ?? '200', 50, 60_000)
  const connections = integerArgument('--connections', values.connections ?? '16', 1, 1000)
  const streams = integerArgument('--streams', values.streams ?? '1000', 1, 10_000)
  const callers = integerArgument('--callers', values.callers ?? '500', 1, 10_000)
  const stand = await startStand()
  try {
    const request = JSON.stringify({ prompt: PROMPT })
    await fillCache(stand, request)
    const hits = await compareHits({ url: stand.url, request, connections, rounds, blockMs, onProgress: console.error })
    const sse = await measureOpenStreams(stand, streams)
    console.error(`${sse.ended} of ${streams} streams saw the end`)
    const fanIn = await measureFanIn(stand, callers)
    const firstRequestMs = Math.round(stand.firstRequestMs)
    const circumstances = { connections, rounds, blockMs, ...machine() }
    console.log(JSON.stringify({ ...hits, first_request_ms: firstRequestMs, sse, fan_in: fanIn, ...circumstances }))
    return 0
  } finally {
    await stand.stop()
  }
}

/** Has the picture of `request` made, so that every later one is a hit. */
async function fillCache({ url, queue }: Stand, request: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = fetch(new URL('/v1/images/generations', url), { method: 'POST', headers, body: request })
  // Where the worker fails, that is to be told, and not the connection that its clean-up cuts.
  answer.catch(() => undefined)
  const worker = new PlayedWorker(await messageOf(queue, PROMPT), url.origin)
  await worker.claim()
  await worker.succeed()
  const { status } = await answer
  if (status !== 200) throw new Error(`the picture to be cached was answered ${status}`)
}

await runCommand(main, USAGE)
