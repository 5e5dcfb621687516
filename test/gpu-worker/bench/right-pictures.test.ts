import { expect, it } from 'vitest'
import { judgeDrawn, RightPictures } from '../../../gpu-worker/src/bench/right-pictures.ts'
import type { GenevalPrompt } from '../../../gpu-worker/src/geneval/metadata.ts'
import type { PictureVerdict } from '../../../gpu-worker/src/geneval/strict/yardstick.ts'

const promptFor = (name: string): GenevalPrompt => ({
  tag: 'single_object',
  prompt: `a photo of a ${name}`,
  include: [{ class: name, count: 1 }],
  exclude: [],
})
const [cat, dog] = ['cat', 'dog'].map(promptFor) as [GenevalPrompt, GenevalPrompt]
/** A picture of one byte: 0 a dog, 1 a cat, 2 a cat with a fault. */
const pictureOf = (shown: number): Uint8Array => Uint8Array.of(shown)

/** @param looked  how many pictures each call had */
const yardstickOf = (looked: number[]) => ({
  judge: async (pictures: readonly Uint8Array[], prompt: GenevalPrompt): Promise<PictureVerdict[]> => {
    looked.push(pictures.length)
    return pictures.map(([shown]) => {
      const geneval = prompt === cat ? shown !== 0 : shown === 0
      const correct = geneval && shown !== 2
      return { correct, geneval, strict: { detector: correct, matcher: correct }, failures: [] }
    })
  },
})

it('counts the pictures that are right by the yardstick and by the rules, and looks at each of a prompt once', async () => {
  const looked: number[] = []
  const right = new RightPictures(yardstickOf(looked))
  const first = await right.count([
    { prompt: cat, pixels: pictureOf(1) },
    { prompt: dog, pixels: pictureOf(1) },
    { prompt: cat, pixels: pictureOf(1) },
  ])
  expect(first).toEqual({ strict: 2, geneval: 2 })
  const second = await right.count([
    { prompt: cat, pixels: pictureOf(1) },
    { prompt: cat, pixels: pictureOf(2) },
  ])
  expect(second).toEqual({ strict: 1, geneval: 2 })
  expect(looked).toEqual([1, 1, 1])
})

it('gives verdicts in the order of the pictures, whatever prompts they are of', async () => {
  const drawn = [
    { prompt: cat, pixels: pictureOf(0) },
    { prompt: dog, pixels: pictureOf(0) },
    { prompt: cat, pixels: pictureOf(1) },
  ]
  const verdicts = await judgeDrawn(yardstickOf([]), drawn)
  expect(verdicts.map(({ correct }) => correct)).toEqual([false, true, true])
})
