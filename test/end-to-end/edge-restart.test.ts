import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ParmClient } from '../../edge/client/client.ts'
import { messageOf, PlayedWorker } from '../../infra/bench-edge/played-worker.ts'
import { newSecret } from '../../infra/local/data-dir.ts'
import { type LocalEdge, startEdge } from '../../infra/local/edge.ts'
import { DEFAULT_BUNDLE, readModelCard } from '../../infra/local/models.ts'
import { LOOPBACK, reservePort } from '../../infra/local/ports.ts'
import { type LocalQueue, startQueue } from '../../infra/local/queue.ts'
import { followEvents, type ReceivedEvent } from '../support/job-events.ts'

/** The edge in a workerd of its own, which ends with all that it had in memory and is started anew over the same storage. */
let queue: LocalQueue
let folder: string
let edge: LocalEdge
let url: string
let restart: () => Promise<void>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parm-restart-'))
  queue = await startQueue(0)
  const port = await reservePort(0, LOOPBACK, { name: 'the edge', howToChange: '' })
  url = `http://${LOOPBACK}:${port}`
  const model = await readModelCard(DEFAULT_BUNDLE)
  const secrets = { CALLBACK_SECRET: newSecret(), AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
  const start = () =>
    startEdge({
      port,
      host: LOOPBACK,
      persistDir: folder,
      queue,
      models: [model],
      secrets,
      publicUrl: url,
      traces: {},
      onLog: () => undefined,
    })
  edge = await start()
  restart = async () => {
    await edge.stop()
    edge = await start()
  }
})
afterEach(async () => {
  await edge.stop()
  await queue.stop()
  await rm(folder, { recursive: true })
})

const PROMPT = 'a photo of a red apple'

async function allEvents(client: ParmClient, id: string): Promise<ReceivedEvent[]> {
  const events: ReceivedEvent[] = []
  for await (const event of client.jobs.events(id)) events.push(event)
  return events
}

/** Reads until the connection ends, however it ends. */
async function readUntilCut(eventsUrl: string, lastEventId: number, into: ReceivedEvent[]): Promise<void> {
  try {
    for await (const event of followEvents(eventsUrl, lastEventId)) into.push(event)
  } catch {
    // The edge went away under it.
  }
}

it('loses nothing of a job under way when it is restarted: who resumes with Last-Event-ID sees every event once', async () => {
  const client = new ParmClient({ baseUrl: url, check: checkAnswer })
  const { id, eventsUrl } = await client.jobs.create({ prompt: PROMPT, deadlineMs: 600_000 })
  // Follows by itself through both restarts.
  const followed = allEvents(client, id)
  const worker = new PlayedWorker(await messageOf(queue, PROMPT), url)
  await worker.claim()
  const seen: ReceivedEvent[] = []
  const reading = readUntilCut(eventsUrl, 0, seen)
  await worker.report([
    { type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 },
    { type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 },
  ])
  await expect.poll(() => seen.length, { timeout: 60_000 }).toBe(4)

  await restart()
  await reading
  await worker.report([{ type: 'candidate', candidate: 1, phase: 'stopped', stepsDone: 3 }])
  await restart()
  const resumed: ReceivedEvent[] = []
  const rest = readUntilCut(eventsUrl, seen.at(-1)?.id ?? 0, resumed)
  await worker.succeed()
  await rest

  const all = [...seen, ...resumed]
  expect(await followed).toEqual(all)
  expect(all.map(({ id: position }) => position)).toEqual(all.map((_, index) => index + 1))
  expect(all.map(({ event }) => event.type)).toEqual([
    'queued',
    'started',
    'candidate',
    'candidate',
    'candidate',
    'verdict',
    'succeeded',
  ])
  const record = await client.jobs.get(id)
  expect(record).toMatchObject({ status: 'succeeded', attempt: 1 })
  expect(await client.images.get(record.imageUrl ?? '')).toHaveLength(record.result?.image.bytes ?? 0)
}, 300_000)
