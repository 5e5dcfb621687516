import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PredictionFile, type Predictions } from '../../../../gpu-worker/src/geneval/recording/prediction-file.ts'

const SHAPE = { candidates: 2, stepCount: 3, tokenCount: 4 }
const RECORD_BYTES = 8 + 2 * 24 + 4 * 6 + 4

const predictions = (first: number): Predictions => ({
  codes: Uint16Array.from({ length: 24 }, (_, index) => (first + index) % 65_536),
  meanLogProbs: Float32Array.from({ length: 6 }, (_, index) => -index - first / 8),
})

describe('PredictionFile', () => {
  let dir: string
  let path: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-predictions-'))
    path = join(dir, 'predictions.bin')
  })
  afterEach(() => rm(dir, { recursive: true }))

  const open = (): Promise<PredictionFile> => PredictionFile.resume(path, SHAPE)

  it('gives back every code, up to the largest, and likelihood, also after it was closed', async () => {
    const file = await open()
    await Promise.all([
      file.add({ prompt: 3, image: 1 }, predictions(65_530)),
      file.add({ prompt: 0, image: 0 }, predictions(7)),
    ])
    for (const reader of [file, await open(), await PredictionFile.open(path, SHAPE)]) {
      expect(await reader.read({ prompt: 3, image: 1 })).toEqual(predictions(65_530))
      expect(await reader.read({ prompt: 0, image: 0 })).toEqual(predictions(7))
      expect(reader.pictureCount).toBe(2)
    }
    expect((await stat(path)).size).toBe(2 * RECORD_BYTES)
  })

  it.each([1, 7, RECORD_BYTES - 1])(
    'forgets a record of which only %i bytes were written, and goes on',
    async (bytes) => {
      const file = await open()
      await file.add({ prompt: 0, image: 0 }, predictions(1))
      await file.add({ prompt: 1, image: 0 }, predictions(2))
      await truncate(path, RECORD_BYTES + bytes)
      const continued = await open()
      expect(continued.has({ prompt: 0, image: 0 })).toBe(true)
      expect(continued.has({ prompt: 1, image: 0 })).toBe(false)
      await continued.add({ prompt: 1, image: 0 }, predictions(3))
      expect(await (await open()).read({ prompt: 1, image: 0 })).toEqual(predictions(3))
    },
  )

  it('names the place of a damaged record and leaves the others readable', async () => {
    const file = await open()
    await file.add({ prompt: 0, image: 0 }, predictions(1))
    await file.add({ prompt: 1, image: 0 }, predictions(2))
    const bytes = await readFile(path)
    bytes[RECORD_BYTES + 20] = (bytes[RECORD_BYTES + 20] ?? 0) ^ 1
    await writeFile(path, bytes)
    const damaged = await open()
    expect(await damaged.read({ prompt: 0, image: 0 })).toEqual(predictions(1))
    await expect(damaged.read({ prompt: 1, image: 0 })).rejects.toThrow(`is damaged at byte ${RECORD_BYTES}`)
  })

  it('refuses a picture twice, one of another shape, and one that it does not have', async () => {
    const file = await open()
    await file.add({ prompt: 0, image: 0 }, predictions(1))
    await expect(file.add({ prompt: 0, image: 0 }, predictions(1))).rejects.toThrow('once')
    const short = { ...predictions(1), codes: new Uint16Array(23) }
    await expect(file.add({ prompt: 0, image: 1 }, short)).rejects.toThrow('expected 24 and 6')
    await expect(file.read({ prompt: 9, image: 0 })).rejects.toThrow('has no picture 9/0')
  })
})
