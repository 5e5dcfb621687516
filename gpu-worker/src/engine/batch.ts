import { AppError, InvariantError } from '../../../shared/error-code.ts'
import { slotOf } from './candidate.ts'
import { promptOf } from './job.ts'
import type { Measurements } from './measurements.ts'
import type { BatchedCall, Clock, Generator, Judgement, Pixels, StepOutput, StepRow, Verifier } from './ports.ts'
import { isPictureDue, type Progress, policyOf, questionsFor } from './progress.ts'
import { decide, isClearAfter, potentialOf } from './pruning.ts'
import { fillUniform } from './random.ts'
import { Sampler } from './sampling.ts'
import type { Question } from './scoring.ts'
import type { Seat } from './seat.ts'
import { styleOf } from './style.ts'

export interface BatchParts {
  readonly generator: Generator
  readonly clock: Clock
  readonly slots: number
  readonly measurements: Measurements
  readonly onModelCall: ((call: BatchedCall) => void) | undefined
}

/**
 * The model work of a tick: every running candidate takes one step, then the pictures that are due are decoded and judged.
 * One generator call, at most one decoder call and one call per verifier, however many jobs have rows in them.
 */
export class Batch {
  readonly #generator: Generator
  readonly #clock: Clock
  readonly #measurements: Measurements
  readonly #onModelCall: BatchParts['onModelCall']
  readonly #sampler: Sampler
  /** By slot, so that no tick allocates: float32 [slots][N]. */
  readonly #codeUniform: readonly Float32Array[]
  readonly #maskUniform: Float32Array

  constructor({ generator, clock, slots, measurements, onModelCall }: BatchParts) {
    const { tokenCount, codebookSize } = generator
    this.#generator = generator
    this.#clock = clock
    this.#measurements = measurements
    this.#onModelCall = onModelCall
    this.#sampler = new Sampler(tokenCount, codebookSize)
    this.#codeUniform = Array.from({ length: slots }, () => new Float32Array(tokenCount))
    this.#maskUniform = new Float32Array(tokenCount)
  }

  /**
   * Advances the path of each seat by one step, and has the questions answered beside them.
   *
   * @param seats      running candidates of ready jobs
   * @param questions  get their answers or failures
   * @returns          one entry a seat, in the same order; never rejects for a failed model call
   */
  async advance(seats: readonly Seat[], questions: readonly Question[] = []): Promise<Progress[]> {
    const rows = seats.map(({ job, candidate }): Progress => {
      const stepIndex = candidate.path.stepsDone
      return { job, candidate, stepIndex, isLast: stepIndex === job.schedule.stepCount - 1 }
    })
    if (rows.length > 0) await this.#step(rows)
    await this.#decode(rows.filter(isPictureDue))
    for (const [verifier, asked] of groupByVerifier(rows, questions)) await this.#judge(verifier, asked)
    return rows
  }

  async #step(rows: readonly Progress[]): Promise<void> {
    const outputs = await attempt(rows, async () => {
      const stepRows = rows.map((row) => this.#toStepRow(row))
      const { answers, ms } = await this.#timed('step', rows, () => this.#generator.step(stepRows))
      sameCount('generator step', rows.length, answers)
      this.#measurements.noteStep(rows.length, ms)
      return answers
    })
    for (const [index, output] of outputs.entries()) this.#commit(rows[index] as Progress, output)
  }

  #toStepRow({ job, candidate, stepIndex }: Progress): StepRow {
    const { seed, guidance: strength } = job.request.parameters
    const guidance = stepIndex < job.guidedSteps ? strength : 0
    const uniform = this.#codeUniform[slotOf(candidate)] as Float32Array
    fillUniform(uniform, seed, candidate.index, stepIndex, 'code')
    const { tokens, beganAs } = candidate.path
    const prompt = promptOf(job)
    return { tokens, prompt, style: styleOf(prompt, seed, beganAs), guidance, uniform }
  }

  /** Takes a step's sample into the path. */
  #commit(row: Progress, output: StepOutput): void {
    const { job, candidate, stepIndex } = row
    const { schedule, request } = job
    if ((schedule.noiseScale[stepIndex] as number) > 0) {
      fillUniform(this.#maskUniform, request.parameters.seed, candidate.index, stepIndex, 'mask')
    }
    const step = attemptRow(row, () => this.#sampler.step(candidate.path, output, schedule, this.#maskUniform))
    if (step === undefined) return
    row.x0 = step.x0
    row.meanLogProb = step.meanLogProb
    const coherence = this.#generator.coherence?.(step.meanLogProb, stepIndex, schedule.stepCount)
    if (coherence !== undefined) row.coherence = coherence
  }

  async #decode(rows: readonly Progress[]): Promise<void> {
    if (rows.length === 0) return
    const pictures = await attempt(rows, async () => {
      const codes = rows.map((row) => row.x0 as Int32Array)
      const { answers, ms } = await this.#timed('decode', rows, () => this.#generator.decode(codes))
      sameCount('generator decode', rows.length, answers)
      this.#measurements.decodeMs.add(ms / rows.length)
      return answers
    })
    for (const [index, pixels] of pictures.entries()) (rows[index] as Progress).pixels = pixels
  }

  async #judge(verifier: Verifier, asked: readonly (Progress | Question)[]): Promise<void> {
    let ms = 0
    const judgements = await attempt(asked, async () => {
      const pictures = asked.map((one) => (isQuestion(one) ? one : pictureOf(one)))
      const call = await this.#timed('judge', asked, () => verifier.judge(pictures))
      ms = call.ms / asked.length
      return sameCount(`verifier ${verifier.name}`, asked.length, call.answers)
    })
    for (const [index, judgement] of judgements.entries()) {
      const one = asked[index] as Progress | Question
      const checked = attemptRow(one, () => checkJudgement(verifier, judgement))
      if (checked === undefined) continue
      if (isQuestion(one)) one.answer = checked
      else this.#rule(one, checked, ms)
    }
  }

  /** Every call into the models goes through here, so that whoever follows them sees the failed ones, too. */
  async #timed<T>(
    kind: BatchedCall['kind'],
    rows: readonly (Progress | Question)[],
    call: () => Promise<T>,
  ): Promise<{ answers: T; ms: number }> {
    const startedMs = this.#clock.now()
    const elapsedMs = () => this.#clock.now() - startedMs
    try {
      const answers = await call()
      return { answers, ms: elapsedMs() }
    } finally {
      this.#onModelCall?.({ kind, ms: elapsedMs(), rows: rowsByJob(rows) })
    }
  }

  #rule(row: Progress, judgement: Judgement, ms: number): void {
    const { job, stepIndex } = row
    const { path } = row.candidate
    const ruling = decide(questionsFor(row), judgement, policyOf(job), row.isLast, row.coherence)
    path.isClear = isClearAfter(path.isClear, ruling)
    path.potential = potentialOf(ruling) ?? path.potential
    row.verdict = { ruling, ms }
    const share = (stepIndex + 1) / job.schedule.stepCount
    this.#measurements.noteJudgement(job.request.verifier.name, share, ruling, ms)
  }
}

/** A row or a question, of which a model call may fail. */
type Fallible = Pick<Progress, 'failure'>

/** Does one model call for `rows`; a failure is noted in all of them, and nobody is answered. */
async function attempt<T>(rows: readonly Fallible[], call: () => Promise<T[]>): Promise<T[]> {
  try {
    return await call()
  } catch (error) {
    for (const row of rows) noteFailure(row, error)
    return []
  }
}

/** Reads one row of an answer; a broken row must not fail the jobs of its batch-mates. */
function attemptRow<T>(row: Fallible, read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    noteFailure(row, error)
    return undefined
  }
}

/** After a broken invariant nothing that the engine believes can be relied on: that one is not a job's own failure. */
function noteFailure(row: Fallible, error: unknown): void {
  if (error instanceof InvariantError) throw error
  row.failure = { error }
}

function sameCount<T>(what: string, expected: number, answers: T[]): T[] {
  if (answers.length === expected) return answers
  throw new AppError('model_failed', `${what}: expected ${expected} rows, got ${answers.length}`)
}

/** A NaN would pass some thresholds and fail others without a word, so it must not get any further. */
function checkJudgement(verifier: Verifier, judgement: Judgement): Judgement {
  for (const [task, probability] of Object.entries(judgement)) {
    if (!(probability >= 0 && probability <= 1)) {
      throw new AppError('model_failed', `verifier ${verifier.name}: expected ${task} from 0 to 1, got ${probability}`)
    }
  }
  return judgement
}

function rowsByJob(rows: readonly (Progress | Question)[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of rows) {
    const id = isQuestion(row) ? row.jobId : row.job.request.id
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}

function groupByVerifier(
  rows: readonly Progress[],
  questions: readonly Question[],
): Map<Verifier, (Progress | Question)[]> {
  const asked = rows.filter((row) => row.pixels !== undefined && questionsFor(row).length > 0)
  return Map.groupBy([...asked, ...questions], (one) => (isQuestion(one) ? one : one.job.request).verifier)
}

const isQuestion = (one: Progress | Question): one is Question => 'work' in one

const pictureOf = ({ job, pixels }: Progress) => ({ pixels: pixels as Pixels, prompt: promptOf(job) })
