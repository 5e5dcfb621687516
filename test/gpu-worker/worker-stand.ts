import { SQSClient } from '@aws-sdk/client-sqs'
import { afterEach, beforeEach, expect } from 'vitest'
import { DEFAULT_MOST_EXTRA } from '../../gpu-worker/src/admission.ts'
import { Consumer } from '../../gpu-worker/src/consumer.ts'
import type { createEdgeClient } from '../../gpu-worker/src/edge-client.ts'
import { EdgeClock } from '../../gpu-worker/src/edge-clock.ts'
import { EdgeGate } from '../../gpu-worker/src/edge-gate.ts'
import { IntakePause } from '../../gpu-worker/src/intake-pause.ts'
import { JobRunner } from '../../gpu-worker/src/job-runner.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { type LocalQueue, queueName, startQueue } from '../../infra/local/queue.ts'
import type { Lane } from '../../shared/job.ts'
import { FakeEngine, fakeModel } from '../support/fake-engine.ts'
import { ScriptedEdge } from '../support/scripted-edge.ts'

Object.assign(process.env, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' })

const BOTH_LANES: Lane[] = ['interactive', 'batch']

export const EMPTY = { ready: 0, inflight: 0 }

/** For what happens inside the queue, which tells nobody; everything else is awaited as an event. */
export const eventually = <T>(look: () => T, expected: T) =>
  expect.poll(() => look(), { interval: 20 }).toEqual(expected)

export interface WorkerOptions {
  slots?: number
  lanes?: Lane[]
  visibilitySeconds?: number
  heartbeatSeconds?: number
  maxAttempts?: number
  mostExtra?: number
  edgeOrigins?: string[]
  revision?: string
  logsPrompts?: boolean
  now?: () => number
  connect?: typeof createEdgeClient
  whileBusy?: (work: () => Promise<void>) => Promise<void>
}

/** The consuming half of a worker with a fake engine: everything of main.ts but the process around it. */
export class TestWorker {
  readonly engine: FakeEngine
  readonly runner: JobRunner
  readonly model: ReturnType<typeof fakeModel>
  readonly lines: string[] = []
  readonly received: { lane: Lane; ageMs: number }[] = []
  readonly #draining = new AbortController()
  readonly run: Promise<void>
  readonly gate: EdgeGate
  readonly intake: IntakePause
  readonly clock = new EdgeClock()

  constructor(queue: LocalQueue, options: WorkerOptions) {
    this.engine = new FakeEngine(options.slots)
    this.model = { ...fakeModel(), ...(options.revision && { revision: options.revision }) }
    const log = createLog({ format: 'pretty', level: 'debug', write: (line) => this.lines.push(line), now: Date.now })
    this.gate = new EdgeGate({ onOpen: () => consumer.wake(), log })
    this.intake = new IntakePause({ onOver: () => consumer.wake(), log })
    this.runner = new JobRunner({
      engine: this.engine,
      model: this.model,
      workerName: 'test-worker',
      maxAttempts: options.maxAttempts ?? 5,
      mostExtra: options.mostExtra ?? DEFAULT_MOST_EXTRA,
      gate: this.gate,
      intake: this.intake,
      onAnswer: (headers) => this.clock.note(headers.get('date')),
      logsPrompts: options.logsPrompts ?? false,
      ...(options.now && { now: options.now }),
      ...(options.connect && { connect: options.connect }),
      edgeOrigins: options.edgeOrigins,
      onRoom: () => consumer.wake(),
      ...(options.whileBusy && { whileBusy: options.whileBusy }),
      log,
    })
    const visibilitySeconds = options.visibilitySeconds ?? 10
    const client = new QueueClient(queue.urls.interactive, 1)
    const consumer = new Consumer({
      client,
      queues: (options.lanes ?? BOTH_LANES).map((lane) => ({ lane, url: queue.urls[lane] })),
      visibilitySeconds,
      heartbeatSeconds: options.heartbeatSeconds ?? visibilitySeconds / 3,
      pollSeconds: 1,
      room: (lane) => this.runner.room(lane),
      pauseBeforeExtra: (lane) => this.runner.pauseBeforeExtra(lane),
      handle: (lease) => this.runner.handle(lease),
      onReceived: (lane, ageMs) => this.received.push({ lane, ageMs }),
      log,
    })
    this.run = consumer.check().then(() => consumer.run(this.#draining.signal))
    void this.run.catch(() => undefined).then(() => client.close())
  }

  drain(): Promise<void> {
    this.#draining.abort()
    return this.run
  }

  async end(): Promise<void> {
    this.runner.giveBack()
    await this.drain().catch(() => undefined)
  }
}

/** A queue, a scripted edge and any number of workers between them, anew for every test of the file that calls this. */
export function useStand() {
  let queue: LocalQueue
  let edge: ScriptedEdge
  const workers: TestWorker[] = []

  beforeEach(async () => {
    edge = await ScriptedEdge.start()
    queue = await startQueue(0)
  })
  afterEach(async () => {
    const ends = workers.splice(0).map((worker) => worker.end())
    // Cuts long polls open, which would otherwise be waited for.
    await queue.stop()
    await Promise.all(ends)
    await edge.stop()
    expect(edge.refusals).toEqual([])
  })

  return {
    get queue() {
      return queue
    },
    get edge() {
      return edge
    },
    worker(options: WorkerOptions = {}): TestWorker {
      const worker = new TestWorker(queue, options)
      workers.push(worker)
      return worker
    },
    /** Everything that lies in a lane's queue of dead letters. */
    deadLetters(lane: Lane = 'interactive'): string[] {
      const messages = queue.server.inspectQueue(`${queueName(lane)}-dead`)?.messages
      return messages
        ? [...messages.ready, ...messages.delayed, ...messages.inflight.map(({ message }) => message)].map(
            ({ body }) => body,
          )
        : []
    },
    send(job: { message: object }, lane: Lane = 'interactive'): void {
      queue.server.sendMessage(queueName(lane), JSON.stringify(job.message))
    },
    queueClient: () => new SQSClient({ endpoint: `http://127.0.0.1:${queue.port}` }),
    inQueue(lane: Lane = 'interactive'): { ready: number; inflight: number } {
      const messages = queue.server.inspectQueue(queueName(lane))?.messages
      if (!messages) throw new Error(`no queue for lane ${lane}`)
      return { ready: messages.ready.length + messages.delayed.length, inflight: messages.inflight.length }
    },
  }
}
