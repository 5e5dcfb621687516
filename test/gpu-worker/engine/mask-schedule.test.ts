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
