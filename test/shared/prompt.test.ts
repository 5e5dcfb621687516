import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../shared/limits.ts'
import { normalizePrompt, promptProblem } from '../../shared/prompt.ts'

describe('normalizePrompt', () => {
  it('folds white space, control and format characters into single spaces and trims', () => {
    expect(normalizePrompt('  a\tphoto\u0000\u200b of\n\na   cat\u00a0')).toBe('a photo of a cat')
  })

  it.each([
    ['a soft hyphen', 'pur\u00adple'],
    ['a zero-width space', 'pur\u200bple'],
    ['a zero-width joiner', 'pur\u200dple'],
    ['a byte-order mark', 'pur\ufeffple'],
    ['a word joiner', 'pur\u2060ple'],
    ['a mark of direction', 'pur\u200eple'],
    ['a combining grapheme joiner', 'pur\u034fple'],
    ['a variation selector', 'pur\ufe0fple'],
    ['a tag character', 'pur\u{e0041}ple'],
  ])('leaves a word whole that has %s in it', (_, word) => {
    expect(normalizePrompt(`a ${word} cat`)).toBe('a purple cat')
  })

  it('composes accents between which something invisible stood', () => {
    expect(normalizePrompt('cafe\u200b\u0301')).toBe('caf\u00e9')
  })

  it('composes accents, so that both spellings of é share a cache entry', () => {
    expect(normalizePrompt('cafe\u0301')).toBe(normalizePrompt('caf\u00e9'))
  })

  it('changes nothing the second time', () => {
    const once = normalizePrompt(' \u0085 A  red\u2028apple ')
    expect(normalizePrompt(once)).toBe(once)
  })
})

describe('promptProblem', () => {
  it('takes a prompt of exactly the longest length, counted in code points', () => {
    expect(promptProblem('🍎'.repeat(LIMITS.promptChars.max))).toBeUndefined()
  })

  it('names the length of one that is too long', () => {
    expect(promptProblem('x'.repeat(LIMITS.promptChars.max + 1))).toBe(`has ${LIMITS.promptChars.max + 1} characters`)
  })

  it('refuses control characters only', () => {
    expect(promptProblem(normalizePrompt('\u0000\u0007 \t'))).toMatch(/empty/)
    expect(promptProblem(normalizePrompt('\u200b\u00ad\u3164\ufe0f'))).toMatch(/empty/)
  })

  it('refuses half of a surrogate pair', () => {
    expect(promptProblem('a \ud83c apple')).toMatch(/surrogate/)
  })
})
