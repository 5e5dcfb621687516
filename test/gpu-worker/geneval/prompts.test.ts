import { describe, expect, it } from 'vitest'
import { type GenevalPrompt, parsePrompts, scorablePrompts } from '../../../gpu-worker/src/geneval/metadata.ts'
import { bySet, firstOfEachTask } from '../../../gpu-worker/src/geneval/prompt-set.ts'

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

describe('sets of prompts', () => {
  const single = (name: string): GenevalPrompt => ({
    tag: 'single_object',
    include: [{ class: name, count: 1 }],
    prompt: `a ${name}`,
  })
  const colored: GenevalPrompt = {
    tag: 'colors',
    include: [{ class: 'dog', count: 1, color: 'red' }],
    prompt: 'red dog',
  }

  it('keep the first prompts of each task, in the order of the tasks', () => {
    const prompts = [colored, single('bus'), single('dog'), single('apple')]
    expect(firstOfEachTask(prompts, 2)).toEqual([single('bus'), single('dog'), colored])
    expect(firstOfEachTask(prompts, 10)).toHaveLength(4)
  })

  it('find their results again among those of all sets', () => {
    const sets = [
      { name: 'one', prompts: [colored, colored] },
      { name: 'two', prompts: [single('dog')] },
    ]
    const results = [{ prompt: 0 }, { prompt: 2 }, { prompt: 1 }, { prompt: 2 }]
    expect(bySet(sets, results).map((part) => [part.set.name, part.results.map(({ prompt }) => prompt)])).toEqual([
      ['one', [0, 1]],
      ['two', [2, 2]],
    ])
  })
})
