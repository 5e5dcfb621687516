import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePng, encodePng } from '../png.ts'
import type { FailureGroup } from './commonest-failures.ts'
import { contactSheet, type SheetPicture, type SheetRow } from './contact-sheet.ts'
import type { GenevalPrompt, GenevalTask } from './metadata.ts'
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

  /** The first pictures of every task on one sheet, a row a task: what nobody chose, at a glance. */
  async writeOverview(results: readonly ImageResult[]): Promise<string> {
    const rows: SheetRow[] = []
    for (const [task, ofTask] of Map.groupBy(results, ({ tag }) => tag)) {
      const shown = ofTask.slice(0, COLUMNS)
      const right = shown.filter(({ correct }) => correct).length
      const pictures = await Promise.all(shown.map((result, index) => this.#picture(result, `${index + 1}`)))
      rows.push({ title: `${task}: ${right} of ${shown.length} right`, pictures })
    }
    return this.#write(`sheet-${this.#set}.png`, rows, `the first pictures of each task of ${this.#set} prompts`)
  }

  /** The first pictures of a task, with their verdicts below. */
  async writeFirst(task: GenevalTask, results: readonly ImageResult[]): Promise<string> {
    const shown = results.slice(0, FIRST_PICTURES)
    const pictures = await Promise.all(shown.map((result, index) => this.#picture(result, `${index + 1}`)))
    const rows = Array.from({ length: Math.ceil(shown.length / COLUMNS) }, (_, row) => ({
      pictures: pictures.slice(row * COLUMNS, (row + 1) * COLUMNS),
    }))
    const image = await this.#write(`sheet-${this.#set}-${task}.png`, rows, `the first pictures of ${task}`)
    return [image, '', ...shown.map((result, index) => this.#verdict(result, index + 1))].join('\n')
  }

  /** A row with the first pictures of each of the commonest kinds, with their verdicts below. */
  async writeFailures(task: GenevalTask, groups: readonly FailureGroup[]): Promise<string> {
    const lines: string[] = []
    const rows: SheetRow[] = []
    for (const { kind, results } of groups.slice(0, FAILURE_KINDS_SHOWN)) {
      const pictures: SheetPicture[] = []
      for (const result of results.slice(0, COLUMNS)) {
        lines.push(this.#verdict(result, lines.length + 1))
        pictures.push(await this.#picture(result, `${lines.length}`))
      }
      rows.push({ title: `${kind} (${results.length})`, pictures })
    }
    const image = await this.#write(`failures-${this.#set}-${task}.png`, rows, `pictures that failed ${task}`)
    return [image, '', ...lines].join('\n')
  }

  /** A line of a numbered list. */
  #verdict({ prompt, correct, failures }: ImageResult, number: number): string {
    const verdict = correct ? 'correct' : failures.map(({ reason }) => reason).join('; ')
    return `${number}. ${this.#prompts[prompt]?.prompt}: ${verdict}`
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
