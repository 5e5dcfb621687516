import type { TASKS, VerifierEntry } from '../../../shared/bundle.ts'
import type {
  DefaultSearches,
  Fusion,
  JudgeEconomics,
  Judgement,
  LeastGains,
  Pixels,
  PreparedPrompt,
  Verifier,
} from '../engine/ports.ts'
import { economicsOf, scaleSteps } from './judged-steps.ts'
import { packPictures } from './pictures.ts'
import type { ModelThread } from './thread-client.ts'

/** A verifier of a bundle behind the engine's port. */
export class BundleVerifier implements Verifier {
  readonly name: string
  readonly tasks: readonly (typeof TASKS)[number][]
  readonly thresholds: Judgement
  readonly economics?: JudgeEconomics
  readonly search?: DefaultSearches
  readonly leastGain?: LeastGains
  readonly fusion?: Fusion
  readonly #entry: VerifierEntry
  readonly #pictureBytes: number
  readonly #thread: Pick<ModelThread, 'call'>

  /** @param pictureBytes  height * width * 3 */
  constructor(name: string, entry: VerifierEntry, pictureBytes: number, thread: Pick<ModelThread, 'call'>) {
    this.name = name
    this.tasks = entry.tasks
    this.thresholds = entry.thresholds
    const economics = economicsOf(entry)
    if (economics !== undefined) this.economics = economics
    if (entry.search !== undefined) this.search = entry.search
    if (entry.leastGain !== undefined) this.leastGain = entry.leastGain
    if (entry.fusion !== undefined) this.fusion = entry.fusion
    this.#entry = entry
    this.#pictureBytes = pictureBytes
    this.#thread = thread
  }

  judgedSteps(firstPass: number, corrections = 0): readonly number[] {
    return scaleSteps(this.#entry.judgedSteps, this.#entry.judgedStepsOf, firstPass, corrections)
  }

  async judge(rows: readonly { readonly pixels: Pixels; readonly prompt: PreparedPrompt }[]): Promise<Judgement[]> {
    if (rows.length === 0) return []
    const pixels = packPictures(
      rows.map((row) => row.pixels),
      this.#pictureBytes,
    )
    const ids = Int32Array.from(rows.flatMap((row) => row.prompt.ids))
    const request = { verifier: this.name, rowCount: rows.length, pixels, ids }
    const yes = await this.#thread.call('judge', request, [pixels.buffer, ids.buffer])
    const asked = (task: (typeof TASKS)[number], value: number | undefined): number =>
      // Verdicts promise 0..1; a sigmoid in float32 may end a rounding error outside.
      this.#entry.tasks.includes(task) ? Math.min(1, Math.max(0, value ?? 0)) : 1
    return rows.map((_, index) => ({
      clarity: asked('clarity', yes[index * 3]),
      potential: asked('potential', yes[index * 3 + 1]),
      alignment: asked('alignment', yes[index * 3 + 2]),
    }))
  }
}
