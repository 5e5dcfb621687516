import { describe, expect, it } from 'vitest'
import {
  checkDistinctPrompts,
  type GenevalPrompt,
  parsePromptLines,
  parsePrompts,
  scorablePrompts,
} from '../../../gpu-worker/src/geneval/metadata.ts'
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
    [
      '{"tag": "shapes", "include": [{"class": "dog", "count": 1}], "prompt": "x"}',
      'file, line 2: tag: expected one of single_object, two_object, counting, colors, position, color_attr, got "shapes"',
    ],
    ['{"include": [{"class": "dog", "count": 1}], "prompt": "x"}', 'color_attr, got nothing'],
    ['[1]', 'file, line 2: object: '],
    // The service refuses them, and they were scored.
    [
      '{"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": " \\u200b"}',
      'line 2: prompt: is empty, or only white space and control characters; the service takes 1 to 1000 characters',
    ],
    [
      `{"tag": "single_object", "include": [{"class": "dog", "count": 1}], "prompt": "${'dog '.repeat(300)}"}`,
      'line 2: prompt: has 1199 characters; the service takes 1 to 1000 characters',
    ],
    [
      '{"tag": "counting", "include": [{"class": "dog", "count": 2}], "exclude": [{"class": "dog", "count": 2}], "prompt": "x"}',
      'line 2: exclude.0: no picture can be right: fewer than 2 dog are permitted, and as many are asked for',
    ],
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

  it('refuses a file without prompts, and shows one', () => {
    expect(() => parsePrompts('\n\n', 'file')).toThrow(
      'file holds no prompt; expected one JSON object a line, {"tag": "counting"',
    )
  })

  it('names every line at fault, the first five', () => {
    const wrong = (text: string) => parsePrompts(`${line}\n${text}`, 'file')
    expect(() => wrong('{\n}')).toThrow(
      'file, line 2: expected one JSON object, got {\nfile, line 3: expected one JSON object, got }',
    )
    expect(() => wrong('?\n'.repeat(7))).toThrow(/line 6: expected one JSON object, got \?\nand 2 more lines$/)
  })

  it('takes a prompt as the service would', () => {
    expect(parsePrompts(line.replace('a photo of a dog', ' a  photo of a d\u00adog'), 'file')[0]?.prompt).toBe(
      'a photo of a dog right of a teddy bear',
    )
  })

  // They were drawn with the same seeds, and one picture counted as two independent ones.
  it('refuses a prompt that stands there twice, naming both lines and what to do', () => {
    const again = line.replace('a photo', 'a  photo')
    const lines = parsePromptLines(`${line}\n\n${again}`, 'file')
    expect(() => checkDistinctPrompts(lines, 'file')).toThrow(
      'file, line 3: "a photo of a dog right of a teddy bear" stands in line 1 already, and its pictures would count twice; remove one of the lines',
    )
    expect(() => checkDistinctPrompts(lines.slice(1), 'file')).not.toThrow()
  })
})

describe('scorablePrompts', () => {
  const colored: GenevalPrompt = { tag: 'colors', include: [{ class: 'dog', count: 1, color: 'red' }], prompt: 'a' }

  it('keeps prompts of known names and lists the unknown ones of the others', () => {
    const fork: GenevalPrompt = { tag: 'single_object', include: [{ class: 'fork', count: 1 }], prompt: 'b' }
    const teal: GenevalPrompt = { tag: 'colors', include: [{ class: 'dog', count: 1, color: 'teal' }], prompt: 'c' }
    expect(scorablePrompts([fork, colored, teal], NAMES)).toEqual({
      scorable: [colored],
      unknownNames: ['class fork', 'color teal'],
    })
  })

  // An orange is both, red is none; what is no class can never be found.
  it('does not take a colour for a class, nor a class for a colour', () => {
    const object: GenevalPrompt = { tag: 'single_object', include: [{ class: 'red', count: 1 }], prompt: 'd' }
    const tint: GenevalPrompt = { tag: 'colors', include: [{ class: 'bus', count: 1, color: 'dog' }], prompt: 'e' }
    expect(scorablePrompts([object, tint], NAMES)).toEqual({ scorable: [], unknownNames: ['class red', 'color dog'] })
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
