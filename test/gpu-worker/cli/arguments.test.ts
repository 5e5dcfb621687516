import { describe, expect, it } from 'vitest'
import { Arguments, UsageError } from '../../../gpu-worker/src/cli/arguments.ts'

const FLAGS = ['seed', 'guidance', 'strategy', 'out']
const parse = (...argv: string[]): Arguments => new Arguments(argv, FLAGS)

describe('a list of integers', () => {
  const range = { min: 0, max: 9 }

  it('is ascending, absent without its flag, and each of its parts is checked', () => {
    expect(parse('--seed', '4,2').integers('seed', range)).toEqual([2, 4])
    expect(parse().integers('seed', range)).toBeUndefined()
    const message = '--seed: expected an integer from 0 to 9, got ""'
    expect(() => parse('--seed', '1,').integers('seed', range)).toThrow(new UsageError(message))
  })
})

describe('Arguments', () => {
  it('reads values behind a space and behind an equals sign, the last one given', () => {
    const parsed = parse('a prompt', '--seed', '3', '--out=x.png', '--seed=4')
    expect(parsed.positionals).toEqual(['a prompt'])
    expect(parsed.integer('seed', { min: 0, max: 9 }, 1)).toBe(4)
    expect(parsed.text('out')).toBe('x.png')
    expect(parsed.text('guidance')).toBeUndefined()
  })

  it('uses the fallback where a flag is absent', () => {
    const parsed = parse()
    expect(parsed.integer('seed', { min: 0, max: 9 }, 1)).toBe(1)
    expect(parsed.number('guidance', { min: 0, max: 9 }, 1.5)).toBe(1.5)
    expect(parsed.choice('strategy', ['parm', 'orm'], 'parm')).toBe('parm')
    expect(parsed.choices('strategy', ['parm', 'orm'], ['orm'])).toEqual(['orm'])
  })

  it('takes both ends of a range and nothing beyond', () => {
    const range = { min: 0, max: 9 }
    expect(parse('--seed', '0').integer('seed', range, 1)).toBe(0)
    expect(parse('--seed', '9').integer('seed', range, 1)).toBe(9)
    for (const wrong of ['-1', '10', '1.5', 'x', ' ', '1e999']) {
      const message = `--seed: expected an integer from 0 to 9, got "${wrong}"`
      expect(() => parse('--seed', wrong).integer('seed', range, 1)).toThrow(new UsageError(message))
    }
    expect(() => parse('--guidance', 'NaN').number('guidance', range, 1)).toThrow('a number from 0 to 9, got "NaN"')
  })

  it('names what is permitted when a choice is unknown', () => {
    const wrong = parse('--strategy', 'parm,best')
    expect(() => wrong.choice('strategy', ['parm', 'orm'], 'parm')).toThrow(
      '--strategy: expected parm, orm, got "parm,best"',
    )
    expect(() => wrong.choices('strategy', ['parm', 'orm'], [])).toThrow('--strategy: expected parm, orm, got "best"')
  })

  it('names the permitted flags when one is unknown', () => {
    expect(() => parse('--sed', '3')).toThrow('--sed: unknown flag; permitted are --seed --guidance --strategy --out')
  })

  it('misses a value, whatever comes in its place', () => {
    expect(() => parse('--out')).toThrow('--out: expected a value after it')
    expect(() => parse('--out', '--seed', '3')).toThrow('--out: expected a value after it')
    expect(() => parse('--out=')).toThrow('--out: expected a value after it')
  })

  it('knows --help', () => {
    expect(parse('--help').help).toBe(true)
    expect(parse('-h').help).toBe(true)
    expect(parse().help).toBe(false)
  })
})
