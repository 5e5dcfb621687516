import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { benchJob, type Success, successOf } from '../../gpu-worker/src/bench/bench-job.ts'
import { measureCallCosts } from '../../gpu-worker/src/bench/call-costs.ts'
import { createEngine } from '../../gpu-worker/src/engine/engine.ts'
import type { EngineJob, Verifier } from '../../gpu-worker/src/engine/ports.ts'
import { type Bundle, openBundle } from '../../gpu-worker/src/models/bundle-loader.ts'
import { startStopwatch } from '../../gpu-worker/src/models/spent-time.ts'
import { AppError } from '../../shared/error-code.ts'
import { DEFAULT_BUNDLE } from '../local/models.ts'
import type { JobKind, MeasuredService } from './service-model.ts'

/** Kinds of jobs in the traces: the API's default, the paper's full search, and a single sample. */
export const KINDS: readonly Omit<JobKind, 'rowSteps'>[] = [
  { name: 'default', strategy: 'parm', accept: 'first', candidates: 4, steps: 12 },
  { name: 'best-of-8', strategy: 'parm', accept: 'best', candidates: 8, steps: 12 },
  { name: 'single', strategy: 'baseline', accept: 'best', candidates: 1, steps: 12 },
]
/** As a worker on a CPU has. */
const SLOTS = 8
const THREADS = Math.min(2, cpus().length)
const PROMPTS_FILE = resolve(import.meta.dirname, '../../gpu-worker/evaluation/generated.jsonl')

/** A run of real jobs, all of them submitted at once. */
export interface RealRun {
  readonly successes: readonly { readonly kind: Omit<JobKind, 'rowSteps'>; readonly success: Success }[]
  /** Processor time over threads: what the wall clock shows on a machine with nothing else to do. */
  readonly busyMs: number
  /** By the wall clock, which also shows what else the machine did. */
  readonly wallMs: number
}

/** A bundle on this machine's processor, opened for measuring. */
export class MeasuredBundle {
  readonly #bundle: Bundle
  readonly #verifier: Verifier
  readonly #prompts: readonly string[]

  private constructor(bundle: Bundle, verifier: Verifier, prompts: readonly string[]) {
    this.#bundle = bundle
    this.#verifier = verifier
    this.#prompts = prompts
  }

  static async open(dir = DEFAULT_BUNDLE): Promise<MeasuredBundle> {
    const bundle = await openBundle(dir, { providers: ['cpu'], threads: THREADS })
    const [verifier] = bundle.verifiers.values()
    if (verifier === undefined) throw new AppError('bundle_invalid', `${dir}: expected a verifier, got none`)
    const lines = readFileSync(PROMPTS_FILE, 'utf8').trim().split('\n')
    return new MeasuredBundle(
      bundle,
      verifier,
      lines.map((line) => (JSON.parse(line) as { prompt: string }).prompt),
    )
  }

  get revision(): string {
    return this.#bundle.manifest.revision
  }

  close(): Promise<void> {
    return this.#bundle.close()
  }

  /** How long each call takes on this machine, by rows. */
  async callCosts(): Promise<MeasuredService['costs']> {
    const { generator } = this.#bundle
    const prompt = await generator.prepare(this.#prompts[0] as string)
    const costs = await measureCallCosts(generator, this.#verifier, prompt, SLOTS, THREADS)
    generator.release(prompt)
    return costs.toJSON() as MeasuredService['costs']
  }

  /** @param promptsPerKind  different prompts, spread over all tasks of the prompt set */
  async measure(command: string, promptsPerKind: number): Promise<MeasuredService> {
    const { manifest } = this.#bundle
    const costs = await this.callCosts()
    const { successes } = await this.run(promptsPerKind, 0)
    const rowSteps = successes.reduce((sum, { success }) => sum + success.cost.rowSteps, 0)
    const judged = successes.reduce((sum, { success }) => sum + success.cost.judgeCalls, 0)
    return {
      command,
      device: `${cpus()[0]?.model.trim()}, ${THREADS} threads`,
      date: new Date().toISOString().slice(0, 10),
      bundle: { id: manifest.id, revision: manifest.revision },
      threads: THREADS,
      slots: SLOTS,
      costs,
      judgedPerRowStep: Number((judged / rowSteps).toFixed(4)),
      kinds: KINDS.map((kind) => ({
        ...kind,
        rowSteps: successes.filter((entry) => entry.kind === kind).map(({ success }) => success.cost.rowSteps),
      })),
    }
  }

  /**
   * Runs `promptsPerKind` jobs of every kind in one engine.
   *
   * @param offset  runs of different offsets share no prompt
   */
  async run(promptsPerKind: number, offset: 0 | 1): Promise<RealRun> {
    const stride = Math.floor(this.#prompts.length / (2 * promptsPerKind))
    const prompts = Array.from(
      { length: promptsPerKind },
      (_, index) => this.#prompts[(2 * index + offset) * stride] as string,
    )
    const engine = createEngine({ generator: this.#bundle.generator, clock: performance, slots: SLOTS })
    const stopping = new AbortController()
    const ended = engine.run(stopping.signal)
    const spent = startStopwatch()
    const running = prompts.flatMap((prompt) =>
      KINDS.map((kind) => ({ kind, outcome: engine.submit(this.#job(kind, prompt), () => {}).outcome })),
    )
    const successes = await Promise.all(
      running.map(async ({ kind, outcome }) => ({ kind, success: successOf(await outcome) })),
    )
    const { processorMs, ms: wallMs } = spent()
    stopping.abort()
    await ended
    return { successes, busyMs: processorMs / THREADS, wallMs }
  }

  #job(kind: Omit<JobKind, 'rowSteps'>, prompt: string): EngineJob {
    const { candidates, steps, strategy, accept } = kind
    const settings = { manifest: this.#bundle.manifest, verifier: this.#verifier, candidates, steps }
    return benchJob(settings, `${kind.name}: ${prompt}`, prompt, 0, { strategy, accept })
  }
}
