import { appendFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { AppError } from '../../../shared/error-code.ts'
import type { ACCEPT_RULES, STRATEGIES } from '../../../shared/job.ts'
import { Probability } from '../../../shared/verdict.ts'
import { GENEVAL_TASKS, type GenevalPrompt } from './metadata.ts'

/** Everything that decides the results; two runs with equal configurations draw the same pictures. */
export interface RunConfiguration {
  readonly bundle: string
  readonly revision: string
  /** SHA-256 of the prompts with their metadata. */
  readonly prompts: string
  readonly images: number
  readonly seed: number
  readonly strategy: (typeof STRATEGIES)[number]
  readonly accept: (typeof ACCEPT_RULES)[number]
  readonly verifier: string
  readonly candidates: number
  readonly steps: number
  readonly guidance: number
}

/** One finished picture, a line of results.jsonl. */
const ImageResult = z.strictObject({
  /** Position of the prompt in the set, from 0. */
  prompt: z.int().min(0),
  /** Which of the prompt's pictures, from 0. */
  image: z.int().min(0),
  tag: z.enum(GENEVAL_TASKS),
  correct: z.boolean(),
  reasons: z.array(z.string()),
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
  /** Results of earlier runs with the same configuration, in the order they were finished. */
  readonly finished: readonly ImageResult[]

  private constructor(dir: string, finished: readonly ImageResult[]) {
    this.dir = dir
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
    const path = join(dir, 'run.json')
    const earlier = await readIfThere(path)
    if (earlier === undefined) {
      await writeFile(path, `${JSON.stringify(configuration, null, 2)}\n`)
    } else {
      checkSame(dir, parseLine(earlier, path) as Record<string, unknown>, configuration)
    }
    return new RunFolder(dir, await readResults(join(dir, 'results.jsonl')))
  }

  /** Stores a picture and then its result, so that a result never stands without its picture. */
  async add(result: ImageResult, prompt: GenevalPrompt, png: Uint8Array): Promise<void> {
    const folder = join(this.dir, 'pictures', String(result.prompt).padStart(5, '0'))
    await mkdir(join(folder, 'samples'), { recursive: true })
    await writeFile(join(folder, 'metadata.jsonl'), `${JSON.stringify(prompt)}\n`)
    await writeFile(this.picturePath(result), png)
    await appendFile(join(this.dir, 'results.jsonl'), `${JSON.stringify(result)}\n`)
  }

  picturePath({ prompt, image }: Pick<ImageResult, 'prompt' | 'image'>): string {
    const name = `${String(image).padStart(5, '0')}.png`
    return join(this.dir, 'pictures', String(prompt).padStart(5, '0'), 'samples', name)
  }
}

function checkSame(dir: string, earlier: Record<string, unknown>, configuration: RunConfiguration): void {
  const differences = Object.entries(configuration)
    .filter(([name, value]) => earlier[name] !== value)
    .map(([name, value]) => `${name} was ${JSON.stringify(earlier[name])} and is now ${JSON.stringify(value)}`)
  if (differences.length === 0) return
  throw new AppError(
    'invalid_request',
    `--out ${dir} holds a run with another configuration (${differences.join('; ')}); choose another folder or remove it`,
  )
}

/** The last line may be cut short by a kill in the middle of a write: it is removed and its picture made again. */
async function readResults(path: string): Promise<ImageResult[]> {
  const text = (await readIfThere(path)) ?? ''
  const complete = text.slice(0, text.lastIndexOf('\n') + 1)
  if (complete.length < text.length) await truncate(path, Buffer.byteLength(complete))
  const lines = complete.split('\n').slice(0, -1)
  return lines.map((line, index) => {
    const where = `${path}, line ${index + 1}`
    const parsed = ImageResult.safeParse(parseLine(line, where))
    if (parsed.success) return parsed.data
    throw new AppError('invalid_request', `${where} is no result of this program: ${z.prettifyError(parsed.error)}`)
  })
}

function parseLine(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AppError('invalid_request', `${where} is not JSON`, { cause })
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}
