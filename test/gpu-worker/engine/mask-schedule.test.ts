import { describe, expect, test } from 'vitest'
import { createMaskSchedule } from '../../../gpu-worker/src/engine/mask-schedule.ts'

// Counts of Show-o's own code in float32 torch. Its last count is 1 where ours is 0: it returns the complete sample of the
// last step and leaves one mask in a grid that nobody reads.
const REFERENCE: [tokenCount: number, counts: string][] = [
  [256, '255 252 247 240 232 221 209 196 181 164 146 127 108 87 66 44 22'],
  [256, '254 251 244 236 225 212 197 181 162 142 120 97 74 49 25'],
  [256, '253 247 236 221 203 181 155 127 97 66 33'],
  [1024, '1020 1008 989 962 928 886 838 784 724 658 587 511 432 350 265 177 89'],
  [
    1024,
    '1023 1021 1019 1015 1011 1005 999 991 983 973 963 952 939 926 912 897 881 864 846 828 809 789 768 746 724 700 677 ' +
      '652 627 601 575 548 521 493 464 435 406 376 346 316 285 254 223 191 160 128 96 64 32',
  ],
]

describe('createMaskSchedule', () => {
  test.each(REFERENCE)('leaves as many of %i tokens masked as the reference: %s', (tokenCount, counts) => {
    const expected = [...counts.split(' ').map(Number), 0]
    const { maskedAfter } = createMaskSchedule(tokenCount, expected.length, 1, 'linear')
    expect([...maskedAfter]).toEqual(expected)
  })

  test('unmasks at least one token in every step and all of them by the last, for any size', () => {
    for (const tokenCount of [1, 2, 3, 5, 16, 64, 100, 144]) {
      for (let steps = 1; steps <= 60; steps++) {
        const { maskedAfter } = createMaskSchedule(tokenCount, steps, 1, 'linear')
        let before = tokenCount
        for (const after of maskedAfter) {
          expect(after, `${tokenCount} tokens, ${steps} steps`).toBeLessThan(before)
          before = after
        }
        expect(before).toBe(0)
      }
    }
  })

  test('takes one step per token when more steps are asked for than there are tokens', () => {
    const schedule = createMaskSchedule(4, 50, 1, 'linear')
    expect(schedule.stepCount).toBe(4)
    expect([...schedule.maskedAfter]).toEqual([3, 2, 1, 0])
  })

  test('anneals the noise linearly from the start value', () => {
    const { noiseScale } = createMaskSchedule(256, 4, 2, 'linear')
    expect([...noiseScale]).toEqual([1.5, 1, 0.5, 0])
  })

  test('compounds the noise only when asked to, as the released code does', () => {
    const { noiseScale } = createMaskSchedule(256, 18, 1, 'compounding')
    const published = [0.944, 0.84, 0.7, 0.544, 0.393, 0.262, 0.16, 0.0889, 0.0445, 0.0198, 0.00769, 0.00256]
    for (const [stepIndex, value] of published.entries()) expect(noiseScale[stepIndex]).toBeCloseTo(value, 3)
    expect(noiseScale[17]).toBe(0)
  })
})

describe('the schedule of a path that corrects itself', () => {
  const correcting = { steps: 4, share: 0.2 }

  test('is that of an uncorrected one until its last step, which masks a share of all tokens again, falling from then on', () => {
    const plain = createMaskSchedule(64, 12, 1, 'linear')
    const corrected = createMaskSchedule(64, 12, 1, 'linear', correcting)
    expect(corrected).toMatchObject({ stepCount: 16, firstPass: 12, competeFrom: 11 })
    expect(plain).toMatchObject({ stepCount: 12, firstPass: 12, competeFrom: 12 })
    expect([...corrected.maskedAfter.slice(0, 11)]).toEqual([...plain.maskedAfter.slice(0, 11)])
    // floor(0.2 * 64 * (1 - i/4) + 0.5)
    expect([...corrected.maskedAfter.slice(11)]).toEqual([13, 10, 6, 3, 0])
    expect([...corrected.noiseScale.slice(0, 12)]).toEqual([...plain.noiseScale])
    expect([...corrected.noiseScale.slice(12)]).toEqual([0, 0, 0, 0])
  })

  test('is a function of its settings alone', () => {
    const made = () => createMaskSchedule(100, 7, 0.5, 'linear', { steps: 5, share: 0.35, throughout: true })
    expect(made()).toEqual(made())
  })

  test('lets known tokens compete from the first step on where corrections are made throughout', () => {
    const throughout = createMaskSchedule(64, 12, 1, 'linear', { ...correcting, throughout: true })
    expect(throughout.competeFrom).toBe(0)
    expect([...throughout.maskedAfter]).toEqual([...createMaskSchedule(64, 12, 1, 'linear', correcting).maskedAfter])
    expect(createMaskSchedule(64, 12, 1, 'linear', { steps: 0, share: 0.2, throughout: true }).competeFrom).toBe(0)
  })

  test('masks at least one token and never all of them, whatever the share', () => {
    for (const tokenCount of [2, 3, 16, 64]) {
      for (const share of [0, 0.01, 0.5, 1]) {
        for (let steps = 1; steps <= 12; steps++) {
          const { maskedAfter } = createMaskSchedule(tokenCount, 8, 1, 'linear', { steps, share })
          const again = [...maskedAfter.slice(-steps - 1, -1)]
          expect(again).toHaveLength(steps)
          for (const [index, count] of again.entries()) {
            expect(count).toBeGreaterThanOrEqual(1)
            expect(count).toBeLessThan(tokenCount)
            expect(count).toBeLessThanOrEqual(again[index - 1] ?? tokenCount)
          }
          expect(maskedAfter.at(-1)).toBe(0)
        }
      }
    }
  })

  test('has nothing to correct in a picture of one token', () => {
    expect([...createMaskSchedule(1, 8, 1, 'linear', correcting).maskedAfter]).toEqual([0, 0, 0, 0, 0])
  })
})
