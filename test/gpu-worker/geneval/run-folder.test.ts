import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GenevalPrompt } from '../../../gpu-worker/src/geneval/metadata.ts'
import { type ImageResult, type RunConfiguration, RunFolder } from '../../../gpu-worker/src/geneval/run-folder.ts'

const CONFIGURATION: RunConfiguration = {
  bundle: 'test',
  revision: 'a'.repeat(64),
  sets: 'generated',
  prompts: 'b'.repeat(64),
  images: 2,
  seed: 0,
  strategy: 'parm',
  accept: 'best',
  search: 'plain',
  guidedShare: 1,
  verifier: 'parm',
  candidates: 4,
  steps: 12,
  corrections: 0,
  guidance: 2,
}
const PROMPT: GenevalPrompt = {
  tag: 'colors',
  include: [{ class: 'dog', count: 1, color: 'red' }],
  prompt: 'a red dog',
}

function result(prompt: number, image: number): ImageResult {
  return {
    prompt,
    image,
    tag: 'colors',
    correct: true,
    geneval: true,
    strict: { detector: true, matcher: true },
    failures: [],
    seed: 7,
    candidate: 1,
    alignment: 0.5,
    rowSteps: 12,
    rowStepsSaved: 3,
    judgeCalls: 2,
  }
}

describe('RunFolder', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-geneval-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('gives back what an earlier run with the same configuration finished', async () => {
    const first = await RunFolder.open(dir, CONFIGURATION)
    expect(first.finished).toEqual([])
    await first.add(result(0, 1), PROMPT, Uint8Array.of(1))
    await first.add(result(3, 0), PROMPT, Uint8Array.of(2))
    expect((await RunFolder.open(dir, { ...CONFIGURATION })).finished).toEqual([result(0, 1), result(3, 0)])
  })

  it('keeps pictures and truth in GenEval’s own layout', async () => {
    const folder = await RunFolder.open(dir, CONFIGURATION)
    await folder.add(result(3, 1), PROMPT, Uint8Array.of(9))
    expect([...(await readFile(join(dir, 'pictures/00003/samples/00001.png')))]).toEqual([9])
    expect(JSON.parse(await readFile(join(dir, 'pictures/00003/metadata.jsonl'), 'utf8'))).toEqual(PROMPT)
  })

  it('refuses to mix two configurations, naming what differs', async () => {
    await RunFolder.open(dir, CONFIGURATION)
    const other = RunFolder.open(dir, { ...CONFIGURATION, candidates: 8 })
    await expect(other).rejects.toThrow('(candidates was 4 and is now 8); choose another folder')
  })

  it('forgets a last line that was cut short, and can go on after it', async () => {
    const folder = await RunFolder.open(dir, CONFIGURATION)
    await folder.add(result(0, 0), PROMPT, Uint8Array.of(1))
    await appendFile(join(dir, 'results.jsonl'), '{"prompt": 1, "ima')
    const continued = await RunFolder.open(dir, CONFIGURATION)
    expect(continued.finished).toEqual([result(0, 0)])
    await continued.add(result(1, 0), PROMPT, Uint8Array.of(1))
    expect((await RunFolder.open(dir, CONFIGURATION)).finished).toEqual([result(0, 0), result(1, 0)])
  })

  it('names the line that is no result', async () => {
    await RunFolder.open(dir, CONFIGURATION)
    await appendFile(join(dir, 'results.jsonl'), `${JSON.stringify(result(0, 0))}\n{"prompt": 1}\n`)
    await expect(RunFolder.open(dir, CONFIGURATION)).rejects.toThrow(
      'results.jsonl, line 2 (its picture is made again when you remove it) was not written by this program',
    )
  })

  it('makes again what lost its picture', async () => {
    const folder = await RunFolder.open(dir, CONFIGURATION)
    await folder.add(result(0, 0), PROMPT, Uint8Array.of(1))
    await folder.add(result(0, 1), PROMPT, Uint8Array.of(1))
    await rm(folder.picturePath(result(0, 0)))
    expect((await RunFolder.open(dir, CONFIGURATION)).finished).toEqual([result(0, 1)])
  })
})
