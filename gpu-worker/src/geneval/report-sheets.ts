import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePng, encodePng } from '../png.ts'
import type { FailureGroup } from './commonest-failures.ts'
import { contactSheet, type SheetPicture, type SheetRow } from './contact-sheet.ts'
import type { GenevalPrompt, GenevalTask } from './metadata.ts'
import { placeKey } from './place.ts'
import type { ImageResult, RunFolder } from './run-folder.ts'

const COLUMNS = 8
const FIRST_PICTURES = 24
const FAILURE_KINDS_SHOWN = 3

/** Draws the sheets of one set of prompts from a run's pictures, and says in Markdown what is on them. */
export class SheetWriter {
  readonly #folder: RunFolder
  readonly #set: string
  readonly #prompts: readonly GenevalPrompt[]
  readonly #imageSize: readonly [number, number]

  /**
   * @param set        name of the set, part of the files' names
   * @param prompts    of the run
   * @param imageSize  [height, width] in pixels
   */
  constructor(folder: RunFolder, set: string, prompts: readonly GenevalPrompt[], imageSize: readonly [number, number]) {
    this.#folder = folder
    this.#set = set
    this.#prompts = prompts
    this.#imageSize = imageSize
  }

  /** The first pictures of a task, with their verdicts below. */
  async writeFirst(task: GenevalTask, results: readonly ImageResult[]): Promise<string> {
    const shown = results.slice(0, FIRST_PICTURES)
    const pictures = await Promise.all(shown.map((result, index) => this.#picture(result, `${index + 1}`)))
    const rows = Array.from({ length: Math.ceil(shown.length / COLUMNS) }, (_, row) => ({
      pictures: pictures.slice(row * COLUMNS, (row + 1) * COLUMNS),
    }))
    const image = await this.#write(`sheet-${this.#set}-${task}.png`, rows, `the first pictures of ${task}`)
    const lines = shown.map((result, index) => {
      const verdict = result.correct ? 'correct' : result.failures.map(({ reason }) => reason).join('; ')
      return `${index + 1}. ${this.#prompts[result.prompt]?.prompt}: ${verdict}`
    })
    return [image, '', ...lines].join('\n')
  }

  /** A row with the first pictures of each of the commonest kinds. */
  async writeFailures(task: GenevalTask, groups: readonly FailureGroup[]): Promise<string> {
    const rows = await Promise.all(
      groups.slice(0, FAILURE_KINDS_SHOWN).map(async ({ kind, results }) => ({
        title: `${kind} (${results.length})`,
        pictures: await Promise.all(results.slice(0, COLUMNS).map((result) => this.#picture(result, placeKey(result)))),
      })),
    )
    const file = `failures-${this.#set}-${task}.png`
    return this.#write(file, rows, `pictures that failed ${task}, labelled prompt/picture`)
  }

  async #picture(result: ImageResult, label: string): Promise<SheetPicture> {
    const png = await readFile(this.#folder.picturePath(result))
    return { pixels: decodePng(png).pixels, label, correct: result.correct }
  }

  async #write(file: string, rows: readonly SheetRow[], caption: string): Promise<string> {
    const { pixels, width, height } = contactSheet(rows, this.#imageSize)
    await writeFile(join(this.#folder.dir, file), encodePng(pixels, width, height))
    return `![${caption}](${file})`
  }
}
