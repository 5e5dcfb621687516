import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { frozenSettings } from '../../../../gpu-worker/src/geneval/comparison/frozen-settings.ts'
import {
  checkCorrecting,
  correctingOf,
  type Origin,
  readOrigin,
  writeOrigin,
} from '../../../../gpu-worker/src/geneval/recording/origin.ts'
import { readManifest } from '../../../../gpu-worker/src/models/bundle-files.ts'
import { BUNDLE_DIR } from '../../../support/real-bundle.ts'

const { generator } = await readManifest(BUNDLE_DIR)
const ORIGIN: Origin = {
  begun: '2026-12-01T04:05:06.789Z',
  revision: 'a'.repeat(64),
  settings: { commit: 'b'.repeat(40), date: '2026-12-01T03:00:00+00:00', isClean: true },
  correcting: correctingOf(generator),
}

describe('the origin of a recording', () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-origin-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  it('is kept as it was written, and absent where it was not', async () => {
    expect(await readOrigin(dir)).toBeUndefined()
    await writeOrigin(dir, ORIGIN)
    expect(await readOrigin(dir)).toEqual(ORIGIN)
  })

  it('is refused by the name of its file where something else wrote it', async () => {
    await writeFile(join(dir, 'origin.json'), '{"begun": "yesterday"}')
    await expect(readOrigin(dir)).rejects.toThrow('origin.json was not written by this program')
  })

  it('tells what differs where the bundle makes its corrections otherwise by now', () => {
    expect(() => checkCorrecting(dir, ORIGIN, generator)).not.toThrow()
    expect(() => checkCorrecting(dir, undefined, generator)).not.toThrow()
    const { corrections } = generator
    if (corrections === undefined) throw new Error('the embedded bundle makes corrections')
    // How many there are is asked of a job, and stands in the configuration.
    const more = { ...generator, corrections: { ...corrections, steps: corrections.steps + 1 } }
    expect(() => checkCorrecting(dir, ORIGIN, more)).not.toThrow()
    const other = { ...generator, corrections: { ...corrections, share: 0.75, scoring: 'commit' as const } }
    expect(() => checkCorrecting(dir, ORIGIN, other)).toThrow(
      `${dir} was recorded when the bundle made its corrections with share ${corrections.share}, and has 0.75 now; scoring ${corrections.scoring}, and has commit now; record again`,
    )
    const { corrections: _, ...without } = generator
    expect(() => checkCorrecting(dir, ORIGIN, without)).toThrow('and has none now')
  })
})

describe('frozenSettings', () => {
  it('names the commit that froze the settings before the recording was begun', () => {
    expect(frozenSettings(ORIGIN, ORIGIN.revision)).toBe(
      `Recorded from 2026-12-01T04:05:06Z on. The bundle’s settings were frozen then, in commit ${'b'.repeat(40)} (2026-12-01T03:00:00+00:00). This report goes by the same ones.`,
    )
  })

  it('says where they were not frozen, are others by now, or nobody knows', () => {
    const unclean = { ...ORIGIN, settings: { ...ORIGIN.settings, isClean: false } } as Origin
    expect(frozenSettings(unclean, ORIGIN.revision)).toContain('settings were NOT frozen then: they differed')
    expect(frozenSettings(ORIGIN, 'c'.repeat(64))).toContain('This report goes by OTHER ones')
    expect(frozenSettings({ ...ORIGIN, settings: null }, ORIGIN.revision)).toContain('nothing shows them frozen')
    expect(frozenSettings(undefined, ORIGIN.revision)).toContain('does not say when it was begun')
  })
})
