import { describe, expect, it } from 'vitest'
import {
  GENEVAL_TASKS,
  type GenevalPrompt,
  parsePrompts,
  scorablePrompts,
} from '../../../gpu-worker/src/geneval/metadata.ts'
import { drawPrompts } from '../../../gpu-worker/src/geneval/prompt-set.ts'

const NAMES = { classes: ['person', 'apple', 'bus', 'dog'], colors: ['red', 'orange'] }

describe('parsePrompts', () => {
  const line =
    '{"tag": "position", "include": [{"class": "teddy bear", "count": 1}, {"class": "dog", "count": 1, "position": ["right of", 0]}], "prompt": "a photo of a dog right of a teddy bear"}'

  it('reads GenEval’s own format', () => {
    const counting =
      '{"tag": "counting", "include": [{"class": "clock", "count": 2}], "exclude": [{"class": "clock", "count": 3}], "prompt": "a photo of two clocks"}'
    const prompts = parsePrompts(`${line}\n\n${counting}\n`, 'file')
    expect(prompts.map((prompt) => prompt.tag)).toEqual(['position', 'counting'])
    expect(prompts[0]?.include[1]?.position).toEqual(['right of', 0])
  })

  it.each([
    ['{"tag": ', 'file, line 2: expected one JSON object, got {"tag":'],
    ['{"tag": "shapes", "include": [{"class": "dog", "count": 1}], "prompt": "x"}', 'file, line 2: tag: '],
    ['{"tag": "colors", "include": [{"class": "dog", "count": 0}], "prompt": "x"}', 'line 2: include.0.count: '],
    ['{"tag": "colors", "include": [], "prompt": "x"}', 'line 2: include: '],
    ['{"tag": "colors", "include": [{"class": "dog", "count": 1, "colour": "red"}], "prompt": "x"}', 'colour'],
    [
      line.replace('"right of", 0', '"right of", 1'),
      'include.1.position: refers to object 1, which does not come before it',
    ],
    [line.replace('right of", 0', 'behind", 0'), 'line 2: include.1.position.0: '],
  ])('names line and field of %s', (wrong, message) => {
    expect(() => parsePrompts(`${line}\n${wrong}`, 'file')).toThrow(message)
  })

  it('refuses a file without prompts', () => {
    expect(() => parsePrompts('\n\n', 'file')).toThrow('file holds no prompt')
  })
})

describe('scorablePrompts', () => {
  const colored: GenevalPrompt = { tag: 'colors', include: [{ class: 'dog', count: 1, color: 'red' }], prompt: 'a' }

  it('keeps prompts of known names and lists the unknown ones of the others', () => {
    const fork: GenevalPrompt = { tag: 'single_object', include: [{ class: 'fork', count: 1 }], prompt: 'b' }
    const teal: GenevalPrompt = { tag: 'colors', include: [{ class: 'dog', count: 1, color: 'teal' }], prompt: 'c' }
    expect(scorablePrompts([fork, colored, teal], NAMES)).toEqual({
      scorable: [colored],
      unknownNames: ['fork', 'teal'],
    })
  })
})

describe('drawPrompts', () => {
  it('draws the same prompts for the same seed, and others for another', () => {
    const first = drawPrompts(NAMES, GENEVAL_TASKS, 3, 1)
    expect(drawPrompts(NAMES, GENEVAL_TASKS, 3, 1)).toEqual(first)
    expect(drawPrompts(NAMES, GENEVAL_TASKS, 3, 2)).not.toEqual(first)
  })

  it('draws a task alone as it draws it among others', () => {
    const all = drawPrompts(NAMES, GENEVAL_TASKS, 3, 1).filter((prompt) => prompt.tag === 'position')
    expect(drawPrompts(NAMES, ['position'], 3, 1)).toEqual(all)
  })

  it('draws as many different prompts as asked for, up to all there are', () => {
    const singles = drawPrompts(NAMES, ['single_object'], 4, 5).map((prompt) => prompt.prompt)
    expect(singles.sort()).toEqual([
      'a photo of a bus',
      'a photo of a dog',
      'a photo of a person',
      'a photo of an apple',
    ])
    expect(() => drawPrompts(NAMES, ['single_object'], 5, 5)).toThrow('single_object has only 4 different ones')
  })

  it('writes nothing that its own reader refuses', () => {
    const prompts = drawPrompts(NAMES, GENEVAL_TASKS, 4, 9)
    expect(parsePrompts(prompts.map((prompt) => JSON.stringify(prompt)).join('\n'), 'drawn')).toEqual(prompts)
    expect(scorablePrompts(prompts, NAMES).scorable).toHaveLength(prompts.length)
  })

  it('words each task as GenEval does', () => {
    for (const { tag, include, exclude, prompt } of drawPrompts(NAMES, GENEVAL_TASKS, 4, 3)) {
      const [first, second] = include
      const a = (noun: string): string => `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`
      const named = (entry: typeof first): string =>
        a(entry?.color ? `${entry.color} ${entry.class}` : (entry?.class ?? ''))
      switch (tag) {
        case 'counting': {
          const word = ['two', 'three', 'four'][(first?.count ?? 0) - 2]
          expect(prompt).toBe(`a photo of ${word} ${first?.class}${first?.class.endsWith('s') ? 'es' : 's'}`)
          expect(exclude).toEqual([{ class: first?.class, count: (first?.count ?? 0) + 1 }])
          break
        }
        case 'position':
          expect(prompt).toBe(`a photo of ${named(second)} ${second?.position?.[0]} ${named(first)}`)
          break
        default:
          expect(prompt).toBe(`a photo of ${include.map(named).join(' and ')}`)
      }
    }
  })

  it('gives a person no colour and two objects two names and two colours', () => {
    for (const { include } of drawPrompts(NAMES, ['color_attr'], 6, 4)) {
      expect(include.map((entry) => entry.class)).not.toContain('person')
      expect(new Set(include.map((entry) => entry.class)).size).toBe(2)
      expect(new Set(include.map((entry) => entry.color)).size).toBe(2)
    }
  })
})
