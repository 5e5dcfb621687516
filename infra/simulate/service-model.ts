import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { z } from 'zod'
import { CallCosts } from '../../gpu-worker/src/bench/call-costs.ts'
import type { SeededDraws } from '../../gpu-worker/src/geneval/comparison/seeded-draws.ts'
import { ACCEPT_RULES, STRATEGIES } from '../../shared/job.ts'

const Milliseconds = z.array(z.number().positive())

/** One kind of job and how many row-steps jobs of it took in a busy engine. */
const JobKind = z.strictObject({
  name: z.string(),
  strategy: z.enum(STRATEGIES),
  accept: z.enum(ACCEPT_RULES),
  candidates: z.int().positive(),
  steps: z.int().positive(),
  rowSteps: z.array(z.int().positive()).min(1),
})
export type JobKind = z.infer<typeof JobKind>

/** What `npm run simulate -- --measure` writes. */
export const MeasuredService = z.strictObject({
  command: z.string(),
  device: z.string(),
  date: z.string(),
  bundle: z.strictObject({ id: z.string(), revision: z.string() }),
  threads: z.int().positive(),
  slots: z.int().positive(),
  /** By rows of a call; processor time over threads. */
  costs: z.strictObject({
    rows: z.array(z.int().positive()),
    stepMs: Milliseconds,
    decodeMs: Milliseconds,
    judgeMs: Milliseconds,
  }),
  /** Pictures decoded and judged for each row-step, over all kinds. */
  judgedPerRowStep: z.number().min(0),
  kinds: z.array(JobKind).min(1),
})
export type MeasuredService = z.infer<typeof MeasuredService>

/** How long work takes on one task, and how much work a job turns out to be: both as measured on the real engine. */
export class ServiceModel {
  readonly slots: number
  readonly kinds: ReadonlyMap<string, JobKind>
  /** By rows. */
  readonly #tickMs: readonly number[]
  readonly #expectedRowSteps: ReadonlyMap<JobKind, number>

  constructor({ slots, costs, judgedPerRowStep, kinds }: MeasuredService) {
    const { rows, stepMs, decodeMs, judgeMs } = costs
    const measured = new CallCosts(rows, { step: stepMs, decode: decodeMs, judge: judgeMs })
    this.slots = slots
    this.kinds = new Map(kinds.map((kind) => [kind.name, kind]))
    this.#expectedRowSteps = new Map(kinds.map((kind) => [kind, meanOf(kind.rowSteps)]))
    this.#tickMs = Array.from({ length: slots + 1 }, (_, count) => {
      if (count === 0) return 0
      // Pictures due in one tick are decoded and judged together; on average fewer than one is, and then that share of a call.
      const judged = judgedPerRowStep * count
      const calls = Math.min(1, judged)
      const each = Math.max(1, judged)
      return measured.of('step', count) + calls * (measured.of('decode', each) + measured.of('judge', each))
    })
  }

  /** Milliseconds of one tick of the engine with `rows` of its slots in use, 0..slots. */
  tickMs(rows: number): number {
    return this.#tickMs[rows] as number
  }

  /** Row-steps a second of a task whose slots are all in use. */
  get rowStepsPerSecond(): number {
    return (this.slots * 1000) / this.tickMs(this.slots)
  }

  kind(name: string): JobKind {
    const kind = this.kinds.get(name)
    if (kind === undefined) throw new RangeError(`expected one of ${[...this.kinds.keys()].join(', ')}, got ${name}`)
    return kind
  }

  /** Row-steps that one job of `kind` will take: what one of the measured jobs took, each as likely. */
  drawRowSteps(kind: JobKind, draws: SeededDraws): number {
    return kind.rowSteps[draws.below(kind.rowSteps.length)] as number
  }

  /** Row-steps to expect of a job of `kind`, one of this model's. */
  expectedRowSteps(kind: JobKind): number {
    return this.#expectedRowSteps.get(kind) as number
  }
}

const meanOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0) / counts.length

export const MEASURED_SERVICE_FILE = resolve(import.meta.dirname, 'measured-service.json')

/** The committed measurement. */
export function readMeasuredService(): MeasuredService {
  return MeasuredService.parse(JSON.parse(readFileSync(MEASURED_SERVICE_FILE, 'utf8')))
}
