import { AppError } from '../../../shared/error-code.ts'
import { philox4x32 } from '../engine/philox.ts'
import { GENEVAL_TASKS, type GenevalPrompt, type GenevalTask, RELATIONS } from './metadata.ts'

const COUNT_WORDS = ['two', 'three', 'four'] as const
const FEWEST = 2
/** GenEval never gives a person a colour. */
const UNCOLORED = 'person'

export interface Names {
  readonly classes: readonly string[]
  readonly colors: readonly string[]
}

type Spec = Omit<GenevalPrompt, 'tag'>

/**
 * Fresh prompts over a detector's classes, in GenEval's form and wording: `perTask` for each of `tasks`, all distinct.
 * The same arguments give the same prompts; a task's prompts do not depend on which other tasks are drawn.
 *
 * @param seed  uint32
 * @throws AppError `invalid_request`  when a task has fewer different prompts than asked for
 */
export function drawPrompts(
  names: Names,
  tasks: readonly GenevalTask[],
  perTask: number,
  seed: number,
): GenevalPrompt[] {
  return tasks.flatMap((tag) => {
    const possible = promptCount(names, tag)
    if (perTask > possible) {
      throw new AppError('invalid_request', `${perTask} prompts per task: ${tag} has only ${possible} different ones`)
    }
    const draw = new Draw(seed, GENEVAL_TASKS.indexOf(tag))
    const distinct = new Map<string, GenevalPrompt>()
    while (distinct.size < perTask) {
      const prompt = { tag, ...drawSpec(names, tag, draw) }
      if (!distinct.has(prompt.prompt)) distinct.set(prompt.prompt, prompt)
    }
    return [...distinct.values()]
  })
}

function promptCount({ classes, colors }: Names, tag: GenevalTask): number {
  const pairs = classes.length * (classes.length - 1)
  const colorable = classes.filter((name) => name !== UNCOLORED).length
  switch (tag) {
    case 'single_object':
      return classes.length
    case 'two_object':
      return pairs
    case 'counting':
      return classes.length * COUNT_WORDS.length
    case 'colors':
      return colorable * colors.length
    case 'position':
      return pairs * RELATIONS.length
    case 'color_attr':
      return colorable * (colorable - 1) * colors.length * (colors.length - 1)
    default: {
      const never: never = tag
      return never
    }
  }
}

/** Wording and metadata of each task. Source: GenEval `prompts/create_prompts.py`. */
function drawSpec({ classes, colors }: Names, tag: GenevalTask, draw: Draw): Spec {
  const colorable = classes.filter((name) => name !== UNCOLORED)
  switch (tag) {
    case 'single_object': {
      const name = draw.one(classes)
      return { include: [{ class: name, count: 1 }], prompt: `a photo of ${withArticle(name)}` }
    }
    case 'two_object': {
      const [first, second] = draw.two(classes)
      return {
        include: [
          { class: first, count: 1 },
          { class: second, count: 1 },
        ],
        prompt: `a photo of ${withArticle(first)} and ${withArticle(second)}`,
      }
    }
    case 'counting': {
      const name = draw.one(classes)
      const word = draw.one(COUNT_WORDS)
      const count = COUNT_WORDS.indexOf(word) + FEWEST
      return {
        include: [{ class: name, count }],
        exclude: [{ class: name, count: count + 1 }],
        prompt: `a photo of ${word} ${plural(name)}`,
      }
    }
    case 'colors': {
      const name = draw.one(colorable)
      const color = draw.one(colors)
      return { include: [{ class: name, count: 1, color }], prompt: `a photo of ${withArticle(`${color} ${name}`)}` }
    }
    case 'position': {
      const [subject, target] = draw.two(classes)
      const relation = draw.one(RELATIONS)
      return {
        include: [
          { class: target, count: 1 },
          { class: subject, count: 1, position: [relation, 0] },
        ],
        prompt: `a photo of ${withArticle(subject)} ${relation} ${withArticle(target)}`,
      }
    }
    case 'color_attr': {
      const [first, second] = draw.two(colorable)
      const [firstColor, secondColor] = draw.two(colors)
      return {
        include: [
          { class: first, count: 1, color: firstColor },
          { class: second, count: 1, color: secondColor },
        ],
        prompt: `a photo of ${withArticle(`${firstColor} ${first}`)} and ${withArticle(`${secondColor} ${second}`)}`,
      }
    }
    default: {
      const never: never = tag
      return never
    }
  }
}

function withArticle(noun: string): string {
  return `${'aeiou'.includes(noun[0] ?? '') ? 'an' : 'a'} ${noun}`
}

/** GenEval's plural, misspellings kept ("benchs", "sheeps"), because its prompts are spelled so. */
function plural(noun: string): string {
  return noun.endsWith('s') ? `${noun}es` : `${noun}s`
}

/** Numbers that depend on (seed, stream) and on how many were drawn before. */
class Draw {
  readonly #seed: number
  readonly #stream: number
  readonly #block = new Uint32Array(4)
  #drawn = 0

  constructor(seed: number, stream: number) {
    this.#seed = seed
    this.#stream = stream
  }

  one<T>(options: readonly T[]): T {
    philox4x32(this.#drawn++, 0, 0, 0, this.#seed, this.#stream, this.#block)
    // 2^32 is so many times the number of options that the bias of the product cannot be seen.
    const index = Math.floor(((this.#block[0] as number) / 2 ** 32) * options.length)
    return options[index] as T
  }

  /** Two different ones, in random order. */
  two<T>(options: readonly T[]): [T, T] {
    const first = this.one(options)
    return [first, this.one(options.filter((option) => option !== first))]
  }
}
