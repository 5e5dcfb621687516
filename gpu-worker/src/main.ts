import { hostname } from 'node:os'
import { AppError, errorGroup } from '../../shared/error-code.ts'
import { parseConfig, type WorkerConfig } from './config.ts'
import { Consumer } from './consumer.ts'
import { DeadLetters } from './dead-letters.ts'
import { EdgeClock } from './edge-clock.ts'
import { EdgeGate } from './edge-gate.ts'
import { createEngine } from './engine/engine.ts'
import type { Engine } from './engine/ports.ts'
import { type HealthServer, healthState, startHealthServer, type WorkerHealth } from './health-server.ts'
import { IntakePause } from './intake-pause.ts'
import { JobRunner } from './job-runner.ts'
import { LineOutput } from './line-output.ts'
import { createLog, type Log } from './log.ts'
import { FleetReport, REPORT_SECONDS } from './metrics/fleet-report.ts'
import { MeteredEngine } from './metrics/metered-engine.ts'
import { ModelMeter } from './metrics/metered-models.ts'
import { WorkerMetrics } from './metrics/worker-metrics.ts'
import { type Bundle, openBundle } from './models/bundle-loader.ts'
import { QueueClient } from './queue-client.ts'
import type { ServedModel } from './served-model.ts'
import { StallWatch } from './stall-watch.ts'
import { TaskProtection } from './task-protection.ts'
import { Tracing } from './tracing/job-trace.ts'
import { SpanExporter } from './tracing/span-exporter.ts'
import { WorkerLifecycle } from './worker-state.ts'

/** Exit codes: 0 stopped when asked to, 1 failed, 2 refused to start with this configuration, queue or bundle. */
const EXIT = { stopped: 0, failed: 1, misconfigured: 2 }
/** Slots of a CPU, where each row takes its time: enough for two jobs at the API's defaults. */
const CPU_SLOTS = 8
/** Two lanes need a slot each; a GPU that is busy with one row still serves both. */
const FEWEST_GPU_SLOTS = 2
/** What a worker that is told to stop gets on top of its grace period to give leases back and to close its models. */
const FAREWELL_MS = 10_000

async function main(): Promise<void> {
  const config = readConfig()
  const output = new LineOutput(process.stdout)
  const log = createLog({ ...config.log, write: (line) => output.write(line), now: Date.now })
  process.exitCode = await new WorkerProcess(config, log, output).run()
  // An open IPC channel would keep the process alive.
  if (process.connected) process.disconnect()
}

function readConfig(): WorkerConfig {
  try {
    return parseConfig(process.env, process.stdout.isTTY)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(EXIT.misconfigured)
  }
}

/** Everything that is open in a worker that serves. */
interface Serving {
  readonly bundle: Bundle
  readonly slots: number
  readonly engine: Engine
  readonly runner: JobRunner
  readonly consumer: Consumer
  readonly queue: QueueClient
}

class WorkerProcess {
  readonly #config: WorkerConfig
  readonly #log: Log
  readonly #lifecycle: WorkerLifecycle
  /** Stops receiving. */
  readonly #draining = new AbortController()
  /** Stops the engine, when nobody needs it any more. */
  readonly #idle = new AbortController()
  readonly #metrics = new WorkerMetrics()
  readonly #spans: SpanExporter | undefined
  readonly #output: LineOutput
  readonly #gate: EdgeGate
  readonly #intake: IntakePause
  readonly #clock = new EdgeClock()
  #tickedAt = 0
  #serving: Serving | undefined

  constructor(config: WorkerConfig, log: Log, output: LineOutput) {
    this.#config = config
    this.#log = log
    this.#output = output
    this.#gate = new EdgeGate({ onOpen: () => this.#serving?.consumer.wake(), log })
    this.#intake = new IntakePause({ onOver: () => this.#serving?.consumer.wake(), log })
    this.#spans = spanExporter(config, log)
    this.#lifecycle = new WorkerLifecycle((transition) => log.info('worker state', { ...transition }))
    this.#metrics.watchSlots(() => {
      const { slots, jobs } = this.#health()
      return { ...slots, jobs }
    })
    this.#metrics.watchProcess()
  }

  /** @returns the exit code, after everything that was opened has been closed */
  async run(): Promise<number> {
    this.#listenToSignals()
    let health: HealthServer | undefined
    try {
      const metrics = (): string => this.#metrics.registry.text()
      health = await startHealthServer(this.#config.health, () => this.#health(), metrics)
      const process = { host: hostname(), pid: globalThis.process.pid }
      this.#log.info('health server listening', { port: health.port, ...process })
      await this.#serve()
      this.#lifecycle.stop()
      return EXIT.stopped
    } catch (error) {
      this.#fail(error)
      return error instanceof AppError && errorGroup(error.code) === 'poison' ? EXIT.misconfigured : EXIT.failed
    } finally {
      this.#serving?.queue.close()
      await this.#serving?.bundle.close()
      await health?.close()
      await this.#spans?.flush()
    }
  }

  async #serve(): Promise<void> {
    const { consumer, engine, runner, bundle, queue, slots } = await this.#open()
    await consumer.check()
    if (this.#draining.signal.aborted) return
    this.#lifecycle.becomeReady()
    const { workerName, edgeOrigins, deadLetterSeconds: pollSeconds } = this.#config
    const about = { workerName, edgeOrigins, pollSeconds, log: this.#log }
    const letters = new DeadLetters({ client: queue, queues: consumer.deadLetterQueues, ...about })
    const lettersRun = letters.run(this.#draining.signal)
    const engineRun = engine.run(this.#idle.signal)
    const consumerRun = consumer.run(this.#draining.signal)
    const watch = this.#watchForStall(engine, slots)
    // Whichever breaks first, the others must let go of their jobs before the process may end.
    const failures = Promise.race([
      engineRun.then(() => undefined),
      bundle.died.then((error) => Promise.reject(error)),
      watch.stalled,
      consumerRun.then(() => undefined),
    ]).catch((error: unknown) => {
      this.#fail(error)
      runner.giveBack()
      this.#draining.abort()
      // What hangs can be waited for in vain; a process that ends comes back.
      setTimeout(() => process.exit(EXIT.failed), FAREWELL_MS).unref()
      throw error
    })
    const ended = await Promise.allSettled([failures, consumerRun, lettersRun])
    watch.stop()
    this.#idle.abort()
    const errors = [...ended, ...(await Promise.allSettled([engineRun]))].flatMap((end) =>
      end.status === 'rejected' ? [end.reason as unknown] : [],
    )
    if (errors.length > 0) throw errors[0]
  }

  async #open(): Promise<Serving> {
    const { bundleDir, providers, threads, workerName, maxAttempts, mostExtra } = this.#config
    const bundle = await openBundle(bundleDir, { providers, threads })
    const slots = this.#config.slots ?? slotsFor(bundle)
    const meter = new ModelMeter(this.#metrics, performance)
    const spans = this.#spans
    const tracing = new Tracing(spans && ((span) => spans.add(span)))
    const ticking = createEngine({
      generator: meter.generator(bundle.generator),
      clock: performance,
      slots,
      onTick: (ms) => {
        this.#tickedAt = performance.now()
        this.#metrics.tickSeconds.observe({}, ms / 1000)
      },
      ...(spans && { onModelCall: (call) => tracing.noteCall(call) }),
    })
    const report = this.#publishReport()
    const metered = new MeteredEngine(ticking, this.#metrics, performance)
    const engine = report?.watch(metered) ?? metered
    const protection = new TaskProtection({ agentUri: process.env.ECS_AGENT_URI, log: this.#log })
    const runner = new JobRunner({
      engine,
      model: servedModel(bundle, meter),
      workerName,
      logsPrompts: this.#config.log.hasPrompts,
      maxAttempts,
      mostExtra,
      edgeOrigins: this.#config.edgeOrigins,
      gate: this.#gate,
      intake: this.#intake,
      onAnswer: (headers) => this.#clock.note(headers.get('date')),
      onRoom: () => consumer.wake(),
      whileBusy: (work) => protection.whileBusy(work),
      log: this.#log,
      tracing,
    })
    const { queues, pollSeconds } = this.#config
    const queue = new QueueClient(queues[0]?.url ?? '', pollSeconds)
    const consumer = new Consumer({
      client: queue,
      queues,
      visibilitySeconds: this.#config.visibilitySeconds,
      heartbeatSeconds: this.#config.leaseHeartbeatSeconds,
      pollSeconds,
      room: (lane) => runner.room(lane),
      pauseBeforeExtra: (lane) => runner.pauseBeforeExtra(lane),
      handle: (lease) => runner.handle(lease),
      onReceived: (lane, ageMs) => {
        this.#metrics.queueAgeSeconds.observe({ lane }, ageMs / 1000)
        report?.received(lane, ageMs)
      },
      log: this.#log,
    })
    this.#serving = { bundle, slots, engine, runner, consumer, queue }
    const { id, revision } = bundle.manifest
    const { provider, refusedProviders, stepSessions, rowWarmUp } = bundle
    this.#log.info('bundle open', { id, revision, provider, refusedProviders, slots, threads, stepSessions, rowWarmUp })
    return this.#serving
  }

  /** @returns undefined where nobody reads such reports */
  #publishReport(): FleetReport | undefined {
    const { metricsNamespace } = this.#config
    if (metricsNamespace === undefined) return undefined
    const report = new FleetReport(metricsNamespace)
    const publish = () => {
      for (const line of report.lines(Date.now())) this.#output.write(line)
    }
    setInterval(publish, REPORT_SECONDS * 1000).unref()
    return report
  }

  #listenToSignals(): void {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => this.#stop(signal))
    // Started with an IPC channel: whoever holds its other end has gone, and nobody is left to stop this process.
    if (process.connected) process.once('disconnect', () => this.#stop('the parent process ended'))
  }

  /** The first request drains; the second one gives running jobs back at once. */
  #stop(why: string): void {
    const { phase } = this.#lifecycle.state
    if (phase === 'stopped' || phase === 'failed') return
    if (phase === 'draining') {
      this.#serving?.runner.giveBack()
      return
    }
    this.#lifecycle.drain(why)
    this.#draining.abort()
    const graceMs = this.#config.graceSeconds * 1000
    setTimeout(() => this.#serving?.runner.giveBack(), graceMs).unref()
    setTimeout(() => {
      this.#log.error('worker did not end in time', { graceMs, farewellMs: FAREWELL_MS })
      process.exit(EXIT.failed)
    }, graceMs + FAREWELL_MS).unref()
  }

  #fail(error: unknown): void {
    if (this.#lifecycle.state.phase === 'failed') return
    this.#log.error('worker failed', { error })
    this.#lifecycle.fail(error)
  }

  #watchForStall(engine: Engine, slots: number): { readonly stalled: Promise<never>; stop(): void } {
    const { promise: stalled, reject } = Promise.withResolvers<never>()
    const watch = new StallWatch({
      limitMs: this.#config.stallSeconds * 1000,
      hasWork: () => engine.freeSlots < slots,
      aliveAt: () => this.#tickedAt,
      onStall: (silentMs) => reject(new AppError('model_failed', `the models have not answered for ${silentMs} ms`)),
      now: () => performance.now(),
    })
    watch.start()
    return { stalled, stop: () => watch.stop() }
  }

  /** What is wrong outside of this process. */
  #outside(): string[] {
    const lanes = this.#serving?.consumer.unreachableLanes ?? []
    return [
      ...(this.#gate.isOpen ? [] : ['no edge can be reached']),
      ...[this.#intake.problem, this.#clock.problem].filter((problem) => problem !== undefined),
      ...lanes.map((lane) => `the ${lane} queue cannot be reached`),
    ]
  }

  #health(): WorkerHealth {
    const { workerName } = this.#config
    const serving = this.#serving
    const { state } = this.#lifecycle
    const failure = state.phase === 'failed' ? { failure: String(state.error) } : {}
    const freeSlots = serving?.engine.freeSlots ?? 0
    return {
      ...healthState({ phase: state.phase, ...failure, outside: this.#outside(), freeSlots }),
      worker: workerName,
      ...(serving && {
        bundle: {
          id: serving.bundle.manifest.id,
          revision: serving.bundle.manifest.revision,
          provider: serving.bundle.provider,
        },
      }),
      slots: { total: serving?.slots ?? 0, free: freeSlots },
      jobs: serving?.runner.jobs ?? 0,
    }
  }
}

function spanExporter({ traces, workerName }: WorkerConfig, log: Log): SpanExporter | undefined {
  if (traces === undefined) return undefined
  return new SpanExporter({
    ...traces,
    service: { 'service.name': 'parm-worker', 'service.instance.id': workerName },
    log,
  })
}

function slotsFor({ rowBudget }: Bundle): number {
  return rowBudget === undefined ? CPU_SLOTS : Math.max(FEWEST_GPU_SLOTS, rowBudget)
}

function servedModel({ manifest, generator, verifiers }: Bundle, meter: ModelMeter): ServedModel {
  return {
    id: manifest.id,
    revision: manifest.revision,
    maxSteps: manifest.generator.maxSteps,
    generator,
    verifiers: new Map([...verifiers].map(([name, verifier]) => [name, meter.verifier(verifier)])),
  }
}

await main()
