import { createHash } from 'node:crypto'
import type { Pixels } from '../engine/ports.ts'
import type { GenevalPrompt } from '../geneval/metadata.ts'
import type { PictureVerdict, Yardstick } from '../geneval/strict/yardstick.ts'

interface Drawn {
  readonly prompt: GenevalPrompt
  readonly pixels: Pixels
}

type Judge = Pick<Yardstick, 'judge'>

/** @returns the yardstick's verdict on each, in their order */
export async function judgeDrawn(yardstick: Judge, drawn: readonly Drawn[]): Promise<PictureVerdict[]> {
  const verdicts = new Map<Drawn, PictureVerdict>()
  for (const [prompt, pictures] of Map.groupBy(drawn, (one) => one.prompt)) {
    const given = await yardstick.judge(
      pictures.map(({ pixels }) => pixels),
      prompt,
    )
    for (const [index, one] of pictures.entries()) verdicts.set(one, given[index] as PictureVerdict)
  }
  return drawn.map((one) => verdicts.get(one) as PictureVerdict)
}

/** How many pictures are right. */
export interface RightCount {
  /** By the yardstick. */
  readonly strict: number
  /** By GenEval's rules over the detector. */
  readonly geneval: number
}

/** Whether pictures show what was asked for; each is looked at once. */
export class RightPictures {
  readonly #yardstick: Judge
  readonly #known = new Map<string, PictureVerdict>()

  constructor(yardstick: Judge) {
    this.#yardstick = yardstick
  }

  async count(drawn: readonly Drawn[]): Promise<RightCount> {
    const missing = new Map(drawn.filter((one) => !this.#known.has(keyOf(one))).map((one) => [keyOf(one), one]))
    const given = await judgeDrawn(this.#yardstick, [...missing.values()])
    for (const [index, key] of [...missing.keys()].entries()) this.#known.set(key, given[index] as PictureVerdict)
    const verdicts = drawn.map((one) => this.#known.get(keyOf(one)))
    return {
      strict: verdicts.filter((verdict) => verdict?.correct === true).length,
      geneval: verdicts.filter((verdict) => verdict?.geneval === true).length,
    }
  }
}

const keyOf = ({ prompt, pixels }: Drawn): string =>
  createHash('sha1').update(prompt.prompt).update('/').update(pixels).digest('base64')
