import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Search } from '../../../shared/bundle.ts'
import type { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { Probability } from '../../../shared/verdict.ts'
import { FAILURE_KINDS } from './failure.ts'
import { Appender, keepConfiguration, parseJson, resumeLines } from './kill-safe-files.ts'
import { GENEVAL_TASKS, type GenevalPrompt } from './metadata.ts'

/** Everything that decides the results; two runs with equal configurations draw the same pictures. */
export interface RunConfiguration {
  readonly bundle: string
  readonly revision: string
  /** Names of the prompt sets, separated by commas. */
  readonly sets: string
  /** SHA-256 of the prompts with their metadata. */
  readonly prompts: string
  readonly images: number
  readonly seed: number
  readonly strategy: (typeof STRATEGIES)[number]
  readonly accept: (typeof ACCEPT_RULES)[number]
  readonly search: Search
  /** Share of the steps, from the first on, that are guided, 0..1. */
  readonly guidedShare: number
  readonly verifier: string
  readonly candidates: number
  readonly steps: number
  readonly corrections: number
  readonly guidance: number
}

/** One finished picture, a line of results.jsonl. */
const ImageResult = z.strictObject({
  /** Position of the prompt in the set, from 0. */
  prompt: z.int().min(0),
  /** Which of the prompt's pictures, from 0. */
  image: z.int().min(0),
  tag: z.enum(GENEVAL_TASKS),
  /** By the strict yardstick; of a bundle without one, by GenEval's rules. */
  correct: z.boolean(),
  /** By GenEval's rules over the detector. */
  geneval: z.boolean(),
  /** What each strict instrument says alone; left out for a bundle without them. */
  strict: z.strictObject({ detector: z.boolean(), matcher: z.boolean() }).optional(),
  /** What is wrong with it; empty when it is correct. */
  failures: z.array(z.strictObject({ kind: z.enum(FAILURE_KINDS), reason: z.string() })),
  seed: z.int().min(0),
  candidate: z.int().min(0),
  alignment: Probability.optional(),
  rowSteps: z.int().min(0),
  rowStepsSaved: z.int().min(0),
  judgeCalls: z.int().min(0),
})
export type ImageResult = z.infer<typeof ImageResult>

/**
 * A run on disk: run.json (the configuration), results.jsonl (one line for each finished picture) and the pictures in
 * GenEval's own layout, pictures/<prompt>/{metadata.jsonl, samples/<image>.png}, which its evaluator can read as well.
 */
export class RunFolder {
  readonly dir: string
  /** Results of earlier runs with the same configuration whose pictures are there, in the order they were finished. */
  readonly finished: readonly ImageResult[]

  readonly #results: Appender

  private constructor(dir: string, results: string, finished: readonly ImageResult[]) {
    this.dir = dir
    this.#results = new Appender(results)
    this.finished = finished
  }

  /**
   * Creates the folder, or continues what an earlier run with the same configuration left.
   *
   * @throws AppError `invalid_request`  when the folder holds a run of another configuration, naming the difference;
   *                  or when its results cannot be read, naming the line
   */
  static async open(dir: string, configuration: RunConfiguration): Promise<RunFolder> {
    await mkdir(dir, { recursive: true })
    await keepConfiguration(join(dir, 'run.json'), configuration, `--out ${dir} holds a run`)
    const results = join(dir, 'results.jsonl')
    const lines = await resumeLines(results)
    const finished = lines.map((line, index) => {
      const where = `${results}, line ${index + 1} (its picture is made again when you remove it)`
      return parseJson(line, ImageResult, where)
    })
    const isThere = await Promise.all(finished.map((result) => exists(picturePath(dir, result))))
    return new RunFolder(
      dir,
      results,
      finished.filter((_, index) => isThere[index]),
    )
  }

  /** Stores a picture and then its result, so that a result never stands without its picture. */
  async add(result: ImageResult, prompt: GenevalPrompt, png: Uint8Array): Promise<void> {
    const folder = join(this.dir, 'pictures', String(result.prompt).padStart(5, '0'))
    await mkdir(join(folder, 'samples'), { recursive: true })
    await writeFile(join(folder, 'metadata.jsonl'), `${JSON.stringify(prompt)}\n`)
    await writeFile(this.picturePath(result), png)
    await this.#results.append(`${JSON.stringify(result)}\n`)
  }

  picturePath(result: Pick<ImageResult, 'prompt' | 'image'>): string {
    return picturePath(this.dir, result)
  }
}

function picturePath(dir: string, { prompt, image }: Pick<ImageResult, 'prompt' | 'image'>): string {
  const name = `${String(image).padStart(5, '0')}.png`
  return join(dir, 'pictures', String(prompt).padStart(5, '0'), 'samples', name)
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
