import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ExaminationFile,
  type Examiner,
  PictureReadings,
  readExaminations,
} from '../../../../gpu-worker/src/geneval/recording/examination-file.ts'

const EXAMINER: Examiner = { format: 2, name: 'parm', identity: 'a'.repeat(64), steps: [2, 3] }

const picture = (prompt: number): PictureReadings => ({ prompt, image: 0, answers: [[[0.25, 1 / 3, 1]]] })

describe('ExaminationFile', () => {
  let dir: string
  let path: string
  let replaced: Examiner[]
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-examination-'))
    path = join(dir, 'parm.jsonl')
    replaced = []
  })
  afterEach(() => rm(dir, { recursive: true }))

  const open = (examiner = EXAMINER): Promise<ExaminationFile<PictureReadings>> =>
    ExaminationFile.open(path, examiner, PictureReadings, (earlier) => replaced.push(earlier))

  it('keeps every answer exactly', async () => {
    await (await open()).add(picture(4))
    expect(await readExaminations(path, PictureReadings)).toEqual({ examiner: EXAMINER, pictures: [picture(4)] })
  })

  it('is continued by the same examiner, without the line that a kill cut short', async () => {
    await (await open()).add(picture(0))
    await appendFile(path, JSON.stringify(picture(1)).slice(0, 20))
    // Somebody who only reads leaves the file to whoever writes it.
    expect((await readExaminations(path, PictureReadings))?.pictures).toEqual([picture(0)])
    expect((await readFile(path, 'utf8')).endsWith('\n')).toBe(false)
    const continued = await open()
    expect([0, 1].map((prompt) => continued.has({ prompt, image: 0 }))).toEqual([true, false])
    await continued.add(picture(1))
    expect((await readExaminations(path, PictureReadings))?.pictures).toEqual([picture(0), picture(1)])
    expect(replaced).toEqual([])
  })

  it.each([{ identity: 'b'.repeat(64) }, { steps: [0, 3] }])(
    'is begun anew by another examiner: %j',
    async (change) => {
      await (await open()).add(picture(0))
      const other = await open({ ...EXAMINER, ...change })
      expect(other.has({ prompt: 0, image: 0 })).toBe(false)
      expect(replaced).toEqual([EXAMINER])
      expect((await readFile(path, 'utf8')).split('\n')).toHaveLength(2)
    },
  )

  it('is begun anew where another examiner’s lines have another form', async () => {
    await writeFile(
      path,
      `${JSON.stringify({ ...EXAMINER, identity: 'c'.repeat(64) })}\n{"prompt": 0, "said": "yes"}\n`,
    )
    expect((await open()).has({ prompt: 0, image: 0 })).toBe(false)
    expect(replaced).toHaveLength(1)
  })

  it('names the line that is no examination', async () => {
    await (await open()).add(picture(0))
    await appendFile(path, '{"prompt": 1, "image": 0, "answers": [[[0.5, 1.5, 0]]]}\n')
    await expect(open()).rejects.toThrow('parm.jsonl, line 3 was not written by this program')
  })
})
