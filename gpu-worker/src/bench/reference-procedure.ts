import { createCandidate, type Path } from '../engine/candidate.ts'
import { createMaskSchedule, type MaskSchedule } from '../engine/mask-schedule.ts'
import type { EngineJob, Generator, Judgement, Pixels, PreparedPrompt } from '../engine/ports.ts'
import { fillUniform } from '../engine/random.ts'
import { Sampler } from '../engine/sampling.ts'
import { styleOf } from '../engine/style.ts'

export interface ReferenceResult {
  readonly pixels: Pixels
  readonly candidate: number
  readonly rowSteps: number
  /** Pictures shown to the verifier. */
  readonly judgeCalls: number
}

/** What the reference keeps of a finished path. */
interface FinishedPath {
  readonly candidate: number
  readonly pixels: Pixels
  /** Whether the first clear picture was said to have potential. */
  readonly isPromising: boolean
  /** P(no) at the first clear picture; 1 where none was clear. Lower is better. */
  readonly refusal: number
}

/**
 * PARM as its released code runs it: one candidate after the other, each to its last step whatever the verifier says; at
 * every step until one is clear the full prediction is decoded and judged; alignment is asked of the survivors, and where
 * there is none the path with the lowest P(no) wins.
 *
 * Kinder to the reference than its code in three ways, so that only the procedure differs: one verifier call answers
 * clarity and potential, a step's picture is decoded once, and decisions are thresholds instead of sampled words. Paths
 * are those of the engine, number for number: the code's temperature, which leaks from one path into the next, is not
 * repeated.
 *
 * Source: github.com/ZiyuGuo99/Image-Generation-CoT at 1ff33eb, parm.py and selector.py.
 */
export async function runReference(job: EngineJob, generator: Generator): Promise<ReferenceResult> {
  const prompt = await generator.prepare(job.parameters.prompt)
  try {
    return await new ReferenceRun(job, generator, prompt).finish()
  } finally {
    generator.release(prompt)
  }
}

class ReferenceRun {
  readonly #job: EngineJob
  readonly #generator: Generator
  readonly #prompt: PreparedPrompt
  readonly #schedule: MaskSchedule
  readonly #sampler: Sampler
  #rowSteps = 0
  #judgeCalls = 0

  constructor(job: EngineJob, generator: Generator, prompt: PreparedPrompt) {
    const { tokenCount, codebookSize, temperature, corrections } = generator
    const { steps, corrections: correctionSteps = corrections?.steps ?? 0 } = job.parameters
    this.#job = job
    this.#generator = generator
    this.#prompt = prompt
    const correcting = corrections && { ...corrections, steps: correctionSteps }
    this.#schedule = createMaskSchedule(tokenCount, steps, temperature, 'linear', correcting)
    this.#sampler = new Sampler(tokenCount, codebookSize)
  }

  async finish(): Promise<ReferenceResult> {
    const paths: FinishedPath[] = []
    for (let candidate = 0; candidate < this.#job.parameters.candidates; candidate++) {
      paths.push(await this.#samplePath(candidate))
    }
    const { candidate, pixels } = await this.#select(paths)
    return { candidate, pixels, rowSteps: this.#rowSteps, judgeCalls: this.#judgeCalls }
  }

  async #samplePath(candidate: number): Promise<FinishedPath> {
    const { stepCount } = this.#schedule
    const { thresholds } = this.#job.verifier
    const { tokenCount, codebookSize, corrections } = this.#generator
    const { path } = createCandidate(candidate, tokenCount, codebookSize, corrections?.scoring === 'commit')
    let firstClear: Judgement | undefined
    let pixels: Pixels | undefined
    for (let stepIndex = 0; stepIndex < stepCount; stepIndex++) {
      const x0 = await this.#step(path, stepIndex)
      const isLast = stepIndex === stepCount - 1
      if (firstClear !== undefined && !isLast) continue
      pixels = await this.#decode(x0)
      if (firstClear !== undefined) continue
      const judgement = await this.#judge(pixels)
      if (judgement.clarity >= thresholds.clarity) firstClear = judgement
    }
    return {
      candidate,
      pixels: pixels as Pixels,
      isPromising: firstClear !== undefined && firstClear.potential >= thresholds.potential,
      refusal: 1 - (firstClear?.potential ?? 0),
    }
  }

  /** Of equals the first wins, as in the released code. */
  async #select(paths: readonly FinishedPath[]): Promise<FinishedPath> {
    const survivors = paths.filter(({ isPromising }) => isPromising)
    if (survivors.length === 0) return paths.reduce((best, path) => (path.refusal < best.refusal ? path : best))
    let best: { path: FinishedPath; alignment: number } | undefined
    for (const path of survivors) {
      const { alignment } = await this.#judge(path.pixels)
      if (best === undefined || alignment > best.alignment) best = { path, alignment }
    }
    return (best as { path: FinishedPath }).path
  }

  /** Advances the path by one step. */
  async #step(path: Path, stepIndex: number): Promise<Int32Array> {
    const { seed, guidance } = this.#job.parameters
    const { tokens, beganAs: candidate } = path
    const uniform = new Float32Array(this.#generator.tokenCount)
    fillUniform(uniform, seed, candidate, stepIndex, 'code')
    const style = styleOf(this.#prompt, seed, candidate)
    const [output] = await this.#generator.step([{ tokens, prompt: this.#prompt, style, guidance, uniform }])
    if (output === undefined) throw new Error('the generator answered no row')
    this.#rowSteps += 1
    fillUniform(uniform, seed, candidate, stepIndex, 'mask')
    return this.#sampler.step(path, output, this.#schedule, uniform).x0
  }

  async #decode(x0: Int32Array): Promise<Pixels> {
    const [pixels] = await this.#generator.decode([x0])
    return pixels as Pixels
  }

  async #judge(pixels: Pixels): Promise<Judgement> {
    this.#judgeCalls += 1
    const [judgement] = await this.#job.verifier.judge([{ pixels, prompt: this.#prompt }])
    return judgement as Judgement
  }
}
