import { parseArgs } from 'node:util'
import { LIMITS } from '../../../shared/limits.ts'

/** The caller wrote something that cannot be meant: exit code 2, and a message that names flag, value and what is permitted. */
export class UsageError extends Error {}

export interface Range {
  readonly min: number
  readonly max: number
}

/** Threads and slots have no natural upper bound; past this a number is a slip of the finger. */
export const RESOURCE_RANGE: Range = { min: 1, max: 1024 }

/** Flags of a command line, each with one value; `--help` alone has none. */
export class Arguments {
  readonly positionals: readonly string[]
  readonly help: boolean
  readonly #values: ReadonlyMap<string, string>

  /**
   * @param flags  permitted names, without dashes
   * @throws UsageError  for an unknown flag or one without its value
   */
  constructor(argv: readonly string[], flags: readonly string[]) {
    const options = Object.fromEntries(flags.map((flag) => [flag, { type: 'string' as const }]))
    const parsed = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: 'boolean', short: 'h' } },
      // Not strict: its own messages name no permitted values, and it takes "--seed -1" for a mistake in the dash.
      strict: false,
      allowPositionals: true,
      tokens: true,
    })
    const values = new Map<string, string>()
    for (const token of parsed.tokens) {
      if (token.kind !== 'option' || token.name === 'help') continue
      if (!flags.includes(token.name)) {
        throw new UsageError(
          `${token.rawName}: unknown flag; permitted are ${flags.map((flag) => `--${flag}`).join(' ')}`,
        )
      }
      if (token.value === undefined || token.value === '' || (!token.inlineValue && token.value.startsWith('--'))) {
        throw new UsageError(`--${token.name}: expected a value after it`)
      }
      values.set(token.name, token.value)
    }
    this.#values = values
    this.positionals = parsed.positionals
    this.help = parsed.values.help === true
  }

  text(flag: string): string | undefined {
    return this.#values.get(flag)
  }

  integer(flag: string, range: Range, fallback: number): number {
    const text = this.#values.get(flag)
    return text === undefined ? fallback : integerIn(flag, text, range)
  }

  number(flag: string, range: Range, fallback: number): number {
    const text = this.#values.get(flag)
    return text === undefined ? fallback : numberIn(flag, text, range)
  }

  /** Numbers separated by commas, in the order in which they were written. */
  numbers(flag: string, range: Range, fallback: readonly number[]): readonly number[] {
    const text = this.#values.get(flag)
    return text === undefined ? fallback : text.split(',').map((part) => numberIn(flag, part, range))
  }

  /** Integers separated by commas, ascending; undefined without the flag. */
  integers(flag: string, range: Range): readonly number[] | undefined {
    const parts = this.#values.get(flag)?.split(',')
    return parts?.map((part) => integerIn(flag, part, range)).sort((a, b) => a - b)
  }

  choice<T extends string>(flag: string, permitted: readonly T[], fallback: T): T {
    const text = this.#values.get(flag)
    return text === undefined ? fallback : oneOf(flag, text, permitted)
  }

  /** Values separated by commas. */
  choices<T extends string>(flag: string, permitted: readonly T[], fallback: readonly T[]): readonly T[] {
    const text = this.#values.get(flag)
    return text === undefined ? fallback : text.split(',').map((value) => oneOf(flag, value.trim(), permitted))
  }

  /** @throws UsageError  when one of `flags` is given: "--out: " and then `why` */
  refuse(flags: readonly string[], why: string): void {
    const given = flags.find((flag) => this.#values.has(flag))
    if (given !== undefined) throw new UsageError(`--${given}: ${why}`)
  }
}

function numberIn(flag: string, text: string, { min, max }: Range): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= min && value <= max)) {
    throw wrongValue(flag, text, `a number from ${min} to ${max}`)
  }
  return value
}

function integerIn(flag: string, text: string, { min, max }: Range): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
    throw wrongValue(flag, text, `an integer from ${min} to ${max}`)
  }
  return value
}

function oneOf<T extends string>(flag: string, text: string, permitted: readonly T[]): T {
  const value = permitted.find((candidate) => candidate === text)
  if (value === undefined) throw wrongValue(flag, text, permitted.join(', '))
  return value
}

function wrongValue(flag: string, got: string, permitted: string): UsageError {
  return new UsageError(`--${flag}: expected ${permitted}, got "${got}"`)
}

/** Of `--guided`: a share of a path's steps. */
export const SHARE_RANGE: Range = { min: 0, max: 1 }

/** @returns `--corrections`; a bundle that makes none permits 0 only. */
export function readCorrections(
  parsed: Arguments,
  { corrections }: { readonly corrections?: { readonly steps: number } | undefined },
): number {
  const { min, max } = LIMITS.corrections
  return parsed.integer('corrections', { min, max: corrections === undefined ? 0 : max }, corrections?.steps ?? 0)
}

/** @returns `--steps`, bounded by what the bundle can do. */
export function readSteps(
  parsed: Arguments,
  bundle: { readonly maxSteps: number; readonly defaults: { readonly steps: number } },
): number {
  return parsed.integer('steps', { min: LIMITS.steps.min, max: bundle.maxSteps }, bundle.defaults.steps)
}
