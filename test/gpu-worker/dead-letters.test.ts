import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { DeadLetters } from '../../gpu-worker/src/dead-letters.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { queueName } from '../../infra/local/queue.ts'
import { refuse } from '../support/scripted-edge.ts'
import { EMPTY, eventually, useStand } from './worker-stand.ts'

const stand = useStand()
const never = new AbortController().signal

let client: QueueClient | undefined
afterEach(() => client?.close())

async function lookOnce(): Promise<string[]> {
  client = new QueueClient(stand.queue.urls.interactive, 1)
  const url = await client.deadLetterUrl(stand.queue.urls.interactive)
  const lines: string[] = []
  const log = createLog({ format: 'pretty', level: 'debug', write: (line) => lines.push(line), now: Date.now })
  const queues = [{ lane: 'interactive' as const, url: url ?? '' }]
  await new DeadLetters({ client, queues, workerName: 'undertaker', pollSeconds: 1, log }).look(never)
  return lines
}

const bury = (body: string): void => stand.queue.server.sendMessage(`${queueName('interactive')}-dead`, body) as never

describe('a dead letter', () => {
  it('ends its job as dead_lettered, and is deleted only then', async () => {
    const job = stand.edge.openJob()
    bury(JSON.stringify(job.message))
    const lines = await lookOnce()
    expect(job.events).toEqual([
      { type: 'failed', error: { code: 'dead_lettered', message: expect.stringContaining('handed out too often') } },
    ])
    expect(stand.deadLetters()).toEqual([])
    expect(lines.join()).toContain(job.id)
    expect(lines.join()).not.toContain(job.message.callbackKey)
  })

  it('ends its job within the trace in which it was sent', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const job = stand.edge.openJob({}, { traceparent })
    bury(JSON.stringify(job.message))
    await lookOnce()
    expect(job.traces).toEqual([traceparent, traceparent])
  })

  it('that no worker of this version can run ends its job as well', async () => {
    const job = stand.edge.openJob()
    bury(JSON.stringify({ ...job.message, version: 2 }))
    await lookOnce()
    expect(job.events).toMatchObject([{ type: 'failed', error: { code: 'dead_lettered' } }])
  })

  it('of a job that has ended is deleted without a word', async () => {
    const job = stand.edge.openJob()
    job.onClaim = () => ({ decision: 'done' })
    bury(JSON.stringify(job.message))
    await lookOnce()
    expect(job.batches).toEqual([])
    expect(stand.deadLetters()).toEqual([])
  })

  it.each([
    ['runs all the same', () => ({ decision: 'busy' as const, retryAfterMs: 5000 })],
    ['cannot be asked for', () => refuse(401, 'signature_invalid')],
  ])('stays while its job %s', async (_, onClaim) => {
    const job = stand.edge.openJob()
    job.onClaim = onClaim
    bury(JSON.stringify(job.message))
    await lookOnce()
    expect(job.events).toEqual([])
    expect(stand.deadLetters()).toHaveLength(1)
  })

  it('that cannot be read stays for an operator', async () => {
    bury('hello')
    await lookOnce()
    expect(stand.deadLetters()).toEqual(['hello'])
  })
})

describe('npm run redrive', () => {
  const redrive = (...args: string[]): Promise<{ code: number; stdout: string }> =>
    new Promise((settle) => {
      const program = resolve(import.meta.dirname, '../../gpu-worker/src/cli/redrive.ts')
      const env = { ...process.env, PARM_QUEUE_URL_INTERACTIVE: stand.queue.urls.interactive }
      const child = execFile(process.execPath, [program, ...args], { env }, (_, stdout) =>
        settle({ code: child.exitCode ?? -1, stdout }),
      )
    })

  it('lists what lies there without a key of it, and moves it back when told to', { timeout: 120_000 }, async () => {
    const job = stand.edge.openJob()
    bury('hello')
    bury(JSON.stringify(job.message))
    const listed = await redrive('list')
    expect(listed.code).toBe(0)
    expect(listed.stdout).toContain('problem="the body is not JSON"')
    expect(listed.stdout).toContain(`job=${job.id} tenant=test`)
    expect(listed.stdout).not.toContain(job.message.callbackKey)
    expect(listed.stdout.trimEnd().split('\n').at(-1)).toBe('2 found')
    await eventually(() => stand.deadLetters().length, 2)
    expect(stand.inQueue()).toEqual(EMPTY)

    // Visible again a second after the list.
    await expect.poll(async () => (await redrive('move')).stdout, { timeout: 60_000 }).toContain('moved')
    await eventually(() => stand.inQueue().ready + stand.deadLetters().length, 2)
    const worker = stand.worker()
    ;(await worker.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    await eventually(() => stand.deadLetters(), ['hello'])
  })
})
