import { describe, expect, it } from 'vitest'
import type { GenevalPrompt } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { yardstickRemarks } from '../../../../gpu-worker/src/geneval/strict/remarks.ts'
import { type PictureVerdict, Yardstick } from '../../../../gpu-worker/src/geneval/strict/yardstick.ts'
import type { Detection, PictureSeen } from '../../../../gpu-worker/src/models/detector.ts'

const ENTRY = {
  graph: 'none',
  classes: ['cat', 'dog'],
  colors: ['red'],
  thresholds: { score: 0.3, counting: 0.5 },
  strict: { drawings: 'none', fault: 0.5, extra: 0.5, misfit: 0.5, patch: 16 },
}
const ONE_CAT: GenevalPrompt = { tag: 'single_object', include: [{ class: 'cat', count: 1 }], prompt: 'a cat' }

const seen = (name: string, score = 0.9): Detection => ({ class: name, score, color: 'red', box: [0, 0, 40, 40] })

/** The verdict on one picture in which a detector sees this and the matcher says that. */
async function verdictOn(picture: Partial<PictureSeen>, matched: boolean): Promise<PictureVerdict> {
  const look = async () => [{ detections: [seen('cat')], faults: [0.1, 0.2, 0.3, 0.4], ...picture }]
  const yardstick = new Yardstick({ entry: ENTRY, look }, { right: async () => [matched] })
  return (await yardstick.judge([new Uint8Array()], ONE_CAT))[0] as PictureVerdict
}

describe('the strict yardstick', () => {
  it('calls a picture right where both instruments do', async () => {
    expect(await verdictOn({}, true)).toEqual({
      correct: true,
      geneval: true,
      strict: { detector: true, matcher: true },
      failures: [],
    })
  })

  it('refuses a picture with a fault and says in which patches, while GenEval’s rules still hold', async () => {
    const verdict = await verdictOn({ faults: [0.1, 0.2, 0.5, 0.9] }, true)
    expect(verdict).toMatchObject({ correct: false, geneval: true, strict: { detector: false, matcher: true } })
    expect(verdict.failures).toEqual([{ kind: 'fault', reason: 'faults in patches 0/1, 1/1' }])
  })

  it('refuses an object that nobody asked for, unless it is only suspected', async () => {
    const two = await verdictOn({ detections: [seen('cat'), seen('dog')] }, true)
    expect(two).toMatchObject({ correct: false, geneval: true, strict: { detector: false } })
    expect(two.failures).toEqual([{ kind: 'another object', reason: 'expected 1 objects, found cat, dog' }])
    expect((await verdictOn({ detections: [seen('cat'), seen('dog', 0.4)] }, true)).correct).toBe(true)
  })

  it('refuses what the matcher refuses', async () => {
    const verdict = await verdictOn({}, false)
    expect(verdict).toMatchObject({ correct: false, geneval: true, strict: { detector: true, matcher: false } })
    expect(verdict.failures.map(({ kind }) => kind)).toEqual(['not whole drawings'])
  })

  it('refuses what GenEval’s rules refuse, whatever the matcher says', async () => {
    const verdict = await verdictOn({ detections: [seen('dog')] }, true)
    expect(verdict).toMatchObject({ correct: false, geneval: false, strict: { detector: false, matcher: true } })
  })

  it('is GenEval’s rules for a bundle without strict instruments', async () => {
    const { strict: _, ...entry } = ENTRY
    const look = async () => [{ detections: [seen('cat'), seen('dog')], faults: [] }]
    const [verdict] = await new Yardstick({ entry, look }, undefined).judge([new Uint8Array()], ONE_CAT)
    expect(verdict).toEqual({ correct: true, geneval: true, strict: undefined, failures: [] })
  })

  it('tells how often its instruments disagree, and who accepts alone', () => {
    const verdicts = [
      { detector: true, matcher: true },
      { detector: true, matcher: false },
      { detector: true, matcher: false },
      { detector: false, matcher: true },
    ]
    const text = yardstickRemarks(verdicts).join(' ')
    expect(text).toContain('Of 4 finished pictures they disagree on 3 (75.0%): 2 that only')
    expect(text).toContain('the detector accepts, 1 that only the matcher does')
    expect(yardstickRemarks([undefined]).join(' ')).toContain('no strict yardstick')
  })
})
