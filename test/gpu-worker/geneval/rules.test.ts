import { describe, expect, it } from 'vitest'
import type { Failure } from '../../../gpu-worker/src/geneval/failure.ts'
import type { GenevalPrompt } from '../../../gpu-worker/src/geneval/metadata.ts'
import { judgePicture, relationsOf } from '../../../gpu-worker/src/geneval/rules.ts'
import type { Detection } from '../../../gpu-worker/src/models/detector.ts'

const THRESHOLDS = { score: 0.3, counting: 0.9 }
type Box = Detection['box']

function seen(name: string, options: { score?: number; color?: string; box?: Box } = {}): Detection {
  return {
    class: name,
    score: options.score ?? 0.95,
    color: options.color ?? 'red',
    box: options.box ?? [0, 0, 10, 10],
  }
}

const isCorrect = (detections: Detection[], prompt: Omit<GenevalPrompt, 'prompt'>): boolean =>
  judgePicture(detections, { ...prompt, prompt: 'not read' }, THRESHOLDS).correct

const failures = (detections: Detection[], prompt: Omit<GenevalPrompt, 'prompt'>): readonly Failure[] =>
  judgePicture(detections, { ...prompt, prompt: 'not read' }, THRESHOLDS).failures

const reasons = (detections: Detection[], prompt: Omit<GenevalPrompt, 'prompt'>): string[] =>
  failures(detections, prompt).map(({ reason }) => reason)

const kinds = (detections: Detection[], prompt: Omit<GenevalPrompt, 'prompt'>): string[] =>
  failures(detections, prompt).map(({ kind }) => kind)

describe('judgePicture', () => {
  const apple = { tag: 'single_object', include: [{ class: 'apple', count: 1 }] } as const satisfies Omit<
    GenevalPrompt,
    'prompt'
  >
  const single = { ...apple, include: [...apple.include] }

  it('finds the object that was asked for, and does not mind others', () => {
    expect(isCorrect([seen('dog'), seen('apple'), seen('apple')], single)).toBe(true)
    expect(reasons([seen('dog')], single)).toEqual(['expected 1 apple, found 0'])
  })

  it('drops detections at the threshold, keeps those above it', () => {
    expect(isCorrect([seen('apple', { score: 0.3 })], single)).toBe(false)
    expect(isCorrect([seen('apple', { score: 0.31 })], single)).toBe(true)
  })

  describe('counting', () => {
    const two: Omit<GenevalPrompt, 'prompt'> = {
      tag: 'counting',
      include: [{ class: 'apple', count: 2 }],
      exclude: [{ class: 'apple', count: 3 }],
    }

    it('wants exactly the number', () => {
      const of = (count: number): Detection[] => Array.from({ length: count }, () => seen('apple'))
      expect([1, 2, 3].map((count) => isCorrect(of(count), two))).toEqual([false, true, false])
      expect(reasons(of(3), two)).toEqual(['expected fewer than 3 apple, found 3'])
    })

    it('tells how far the number is off', () => {
      const of = (count: number): Detection[] => Array.from({ length: count }, () => seen('apple'))
      const three: Omit<GenevalPrompt, 'prompt'> = {
        tag: 'counting',
        include: [{ class: 'apple', count: 3 }],
        exclude: [{ class: 'apple', count: 4 }],
      }
      expect([0, 1, 2, 3, 4, 5].map((count) => kinds(of(count), three))).toEqual([
        ['missing object'],
        ['several too few'],
        ['one too few'],
        [],
        ['one too many'],
        ['several too many'],
      ])
    })

    it('looks only at detections above its own, higher threshold', () => {
      expect(isCorrect([seen('apple'), seen('apple'), seen('apple', { score: 0.8 })], two)).toBe(true)
      expect(isCorrect([seen('apple'), seen('apple', { score: 0.8 })], two)).toBe(false)
    })

    it('keeps at most sixteen of a class', () => {
      const wanted: Omit<GenevalPrompt, 'prompt'> = { tag: 'counting', include: [{ class: 'apple', count: 17 }] }
      expect(
        reasons(
          Array.from({ length: 20 }, () => seen('apple')),
          wanted,
        ),
      ).toEqual(['expected 17 apple, found 16'])
    })
  })

  describe('colours', () => {
    const green: Omit<GenevalPrompt, 'prompt'> = {
      tag: 'colors',
      include: [{ class: 'apple', count: 1, color: 'green' }],
    }

    it('asks the most certain object only', () => {
      const certain = seen('apple', { score: 0.9, color: 'red' })
      const doubtful = seen('apple', { score: 0.5, color: 'green' })
      expect(isCorrect([doubtful, certain], green)).toBe(false)
      expect(isCorrect([{ ...doubtful, score: 0.99 }, certain], green)).toBe(true)
      expect(reasons([certain], green)).toEqual(['expected 1 green apple, found red'])
    })

    it('must belong to the right object', () => {
      const both: Omit<GenevalPrompt, 'prompt'> = {
        tag: 'color_attr',
        include: [
          { class: 'apple', count: 1, color: 'green' },
          { class: 'dog', count: 1, color: 'blue' },
        ],
      }
      expect(isCorrect([seen('apple', { color: 'green' }), seen('dog', { color: 'blue' })], both)).toBe(true)
      const swapped = [seen('apple', { color: 'blue' }), seen('dog', { color: 'green' })]
      expect(isCorrect(swapped, both)).toBe(false)
      expect(kinds(swapped, both)).toEqual(['colour of the other object', 'colour of the other object'])
      expect(kinds([seen('apple', { color: 'pink' }), seen('dog', { color: 'blue' })], both)).toEqual(['wrong colour'])
    })
  })

  describe('position', () => {
    const dogRightOfApple: Omit<GenevalPrompt, 'prompt'> = {
      tag: 'position',
      include: [
        { class: 'apple', count: 1 },
        { class: 'dog', count: 1, position: ['right of', 0] },
      ],
    }
    const left: Box = [0, 0, 20, 20]
    const right: Box = [50, 0, 70, 20]

    it('compares the boxes of the two', () => {
      expect(isCorrect([seen('apple', { box: left }), seen('dog', { box: right })], dogRightOfApple)).toBe(true)
      const mirrored = [seen('apple', { box: right }), seen('dog', { box: left })]
      expect(failures(mirrored, dogRightOfApple)).toEqual([
        { kind: 'wrong place', reason: 'expected dog right of apple, found left of' },
      ])
    })

    it('is unclear where the boxes overlap', () => {
      const overlapping = [seen('apple', { box: left }), seen('dog', { box: [1, 0, 21, 20] })]
      expect(kinds(overlapping, dogRightOfApple)).toEqual(['no clear place'])
    })

    it('cannot hold without the object it refers to', () => {
      expect(reasons([seen('dog', { box: right })], dogRightOfApple)).toEqual([
        'expected 1 apple, found 0',
        'nothing found for dog to be right of',
      ])
      expect(kinds([seen('dog', { box: right })], dogRightOfApple)).toEqual(['missing object', 'nothing to stand by'])
    })
  })
})

describe('relationsOf', () => {
  const at = (x: number, y: number): Box => [x, y, x + 20, y + 20]

  it.each([
    ['left of', at(0, 50)],
    ['right of', at(100, 50)],
    ['above', at(50, 0)],
    ['below', at(50, 100)],
  ] as const)('names %s', (relation, box) => {
    expect(relationsOf(box, at(50, 50))).toEqual([relation])
  })

  it('names two relations on the diagonal', () => {
    expect(relationsOf(at(0, 0), at(50, 50))).toEqual(['left of', 'above'])
  })

  it('needs a tenth of both sizes between the centres', () => {
    // Sizes 20 and 20: the margin is 4 pixels.
    expect(relationsOf(at(4, 0), at(0, 0))).toEqual([])
    // Just past the margin the shortened offset is too small a part of the full one.
    expect(relationsOf(at(6, 0), at(0, 0))).toEqual([])
    expect(relationsOf(at(9, 0), at(0, 0))).toEqual(['right of'])
  })

  it('names nothing for the same place', () => {
    expect(relationsOf(at(7, 7), at(7, 7))).toEqual([])
  })
})
