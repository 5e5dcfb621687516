import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { GenevalPrompt } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { DrawingMatcher } from '../../../../gpu-worker/src/geneval/strict/drawing-matcher.ts'
import { DrawingSet } from '../../../../gpu-worker/src/geneval/strict/drawing-set.ts'
import { type Bundle, openBundle } from '../../../../gpu-worker/src/models/bundle-loader.ts'
import { BUNDLE_DIR } from '../../../support/real-bundle.ts'

/** Written by `python -m training.yardstick.match_cases`: what the matcher in Python says of pictures of these codes. */
const Case = z.strictObject({
  kind: z.string(),
  spec: GenevalPrompt,
  codes: z.array(z.int()),
  right: z.boolean(),
})
type Case = z.infer<typeof Case>

// Every class, colour and background that the cases name is decoded once.
describe('the matcher of drawings', { timeout: 300_000 }, () => {
  let bundle: Bundle
  let matcher: DrawingMatcher
  let cases: Case[]

  beforeAll(async () => {
    cases = z.array(Case).parse(JSON.parse(await readFile(new URL('match-cases.json', import.meta.url), 'utf8')))
    bundle = await openBundle(BUNDLE_DIR, { threads: 1, stepSessions: 1 })
    const { colors, strict } = bundle.manifest.detector ?? {}
    if (colors === undefined || strict === undefined) throw new Error('the bundle has no strict yardstick')
    const drawings = DrawingSet.parse(await readFile(join(BUNDLE_DIR, strict.drawings), 'utf8'), colors)
    matcher = new DrawingMatcher(drawings, (grids) => bundle.generator.decode(grids), strict)
  }, 60_000)
  afterAll(async () => {
    await bundle.close()
  })

  const verdictOn = async ({ codes, spec }: Case): Promise<boolean | undefined> => {
    const pictures = await bundle.generator.decode([Int32Array.from(codes)])
    return (await matcher.right(pictures, spec))[0]
  }

  it('says of each picture what the one in Python says', async () => {
    for (const known of cases) {
      expect(await verdictOn(known), `${known.kind}: ${known.spec.prompt}`).toBe(known.right)
    }
  })

  it('accepts every composed scene and none that misses its prompt', () => {
    expect(cases.filter(({ kind }) => kind === 'composed').map(({ right }) => right)).not.toContain(false)
    expect(cases.filter(({ kind }) => kind === 'near miss').map(({ right }) => right)).not.toContain(true)
  })

  it('refuses a second object that nobody asked for', async () => {
    const two = cases.find(({ kind, spec }) => kind === 'composed' && spec.tag === 'counting') as Case
    const [entry] = two.spec.include
    const one: Case = {
      ...two,
      spec: { tag: 'single_object', include: [{ class: entry?.class ?? '', count: 1 }], prompt: 'one' },
    }
    expect(await verdictOn(two)).toBe(true)
    expect(await verdictOn(one)).toBe(false)
  })

  it('refuses half a drawing', async () => {
    const known = cases.find(({ kind, spec }) => kind === 'composed' && spec.tag === 'single_object') as Case
    const plain = known.codes[0] as number
    const filled = known.codes.flatMap((code, at) => (code === plain ? [] : [at]))
    const codes = known.codes.slice()
    for (const at of filled.slice(0, filled.length / 2)) codes[at] = plain
    expect(await verdictOn(known)).toBe(true)
    expect(await verdictOn({ ...known, codes })).toBe(false)
  })
})
