import { expect, it } from 'vitest'
import { RightPictures } from '../../../gpu-worker/src/bench/right-pictures.ts'
import type { GenevalPrompt } from '../../../gpu-worker/src/geneval/metadata.ts'
import type { Detection } from '../../../gpu-worker/src/models/detector.ts'

const promptFor = (name: string): GenevalPrompt => ({
  tag: 'single_object',
  prompt: `a photo of a ${name}`,
  include: [{ class: name, count: 1 }],
  exclude: [],
})

it('counts the pictures that show what was asked for, and looks at each of a prompt once', async () => {
  const looked: number[] = []
  // A picture of one byte shows a cat where that is 1.
  const detect = async (pictures: readonly Uint8Array[]): Promise<Detection[][]> => {
    looked.push(pictures.length)
    return pictures.map(([pixel]) => [
      { class: pixel === 1 ? 'cat' : 'dog', score: 0.99, color: 'red', box: [0, 0, 8, 8] as const },
    ])
  }
  const entry = { thresholds: { score: 0.3, counting: 0.9 } }
  const right = new RightPictures({ entry, detect })
  const [cat, dog] = ['cat', 'dog'].map(promptFor) as [GenevalPrompt, GenevalPrompt]
  const [shows, other] = [Uint8Array.of(1), Uint8Array.of(0)]
  expect(
    await right.count([
      { prompt: cat, pixels: shows },
      { prompt: dog, pixels: shows },
    ]),
  ).toBe(1)
  expect(
    await right.count([
      { prompt: cat, pixels: shows },
      { prompt: cat, pixels: other },
    ]),
  ).toBe(1)
  expect(looked).toEqual([2, 1])
})
