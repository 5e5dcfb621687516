import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bundle, openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { Dice } from '../../../infra/chaos/dice.ts'
import { planFaults } from '../../../infra/chaos/fault-schedule.ts'
import { writeTinyBundle } from '../../../infra/chaos/tiny-bundle.ts'
import { TINY } from '../../../infra/chaos/tiny-graphs.ts'

describe('the tiny bundle', { timeout: 120_000 }, () => {
  let dir: string
  let bundle: Bundle
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-tiny-'))
    await writeTinyBundle(dir)
    bundle = await openBundle(dir, { threads: 1 })
  }, 120_000)
  afterAll(async () => {
    await bundle?.close()
    await rm(dir, { recursive: true, force: true })
  })

  const uniform = (seed: number) => {
    const dice = new Dice(seed)
    return Float32Array.from({ length: TINY.tokenCount }, () => dice.next())
  }

  it('passes every check that a real bundle does, and is always the same', async () => {
    const first = await readFile(join(dir, 'manifest.json'), 'utf8')
    await writeTinyBundle(dir)
    expect(await readFile(join(dir, 'manifest.json'), 'utf8')).toBe(first)
    expect(bundle.provider).toBe('cpu')
  })

  it('answers a row by its own tokens, prompt and numbers, and by nothing of its batch-mates', async () => {
    const { generator } = bundle
    const [cat, dog] = [await generator.prepare('a red cat 1'), await generator.prepare('a blue dog 2')]
    const tokens = new Int32Array(TINY.tokenCount).fill(TINY.codebookSize)
    const row = { tokens, prompt: cat, guidance: 1, uniform: uniform(1) }
    const others = [
      { ...row, prompt: dog },
      { ...row, uniform: uniform(2) },
      { ...row, tokens: tokens.map((token, index) => (index === 3 ? 5 : token)) },
    ]
    const [alone] = await generator.step([row])
    const [inCompany, ...rest] = await generator.step([row, ...others])
    expect(inCompany).toEqual(alone)
    for (const other of rest) expect(other.ids).not.toEqual(alone?.ids)
    generator.release(cat)
    generator.release(dog)
  })

  it('shows each token as a square of its own, and is judged in all shades', async () => {
    const { generator, verifiers } = bundle
    const codes = Int32Array.from({ length: TINY.tokenCount }, (_, index) => index)
    const [pixels] = await generator.decode([codes])
    const at = (row: number, column: number) =>
      Array.from(pixels?.slice((row * 16 + column) * 3, (row * 16 + column) * 3 + 3) ?? [])
    expect([at(0, 0), at(0, 4), at(15, 15)]).toEqual([
      [0, 0, 0],
      [3, 2, 1],
      [45, 30, 15],
    ])
    const prompt = await generator.prepare('a red cat')
    const rows = Array.from({ length: 40 }, (_, seed) => seed).map((seed) => {
      const dice = new Dice(seed)
      return { pixels: Uint8Array.from({ length: 768 }, () => dice.integer(0, 189)), prompt }
    })
    const judged = (await verifiers.get('parm')?.judge(rows)) ?? []
    const potentials = judged.map(({ potential }) => potential)
    expect(Math.min(...potentials)).toBeLessThan(0.2)
    expect(Math.max(...potentials)).toBeGreaterThan(0.8)
    generator.release(prompt)
  })
})

describe('the plan of faults', () => {
  it('is the same for the same seed, and has every kind once however short the run', () => {
    expect(planFaults(1000, new Dice(7, 'plan'))).toEqual(planFaults(1000, new Dice(7, 'plan')))
    expect(planFaults(1000, new Dice(7, 'plan'))).not.toEqual(planFaults(1000, new Dice(8, 'plan')))
    expect(new Set(planFaults(30, new Dice(1, 'plan')).map(({ kind }) => kind)).size).toBe(5)
    expect(planFaults(1000, new Dice(1, 'plan'))).toHaveLength(50)
  })
})
