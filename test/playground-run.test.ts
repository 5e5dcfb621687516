import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hashOf, valuesOf } from '../edge/playground/permalink.js'
import { curlCommand, fileName } from '../edge/playground/repeat.js'
import { applyEvent, isOver, leadingCandidate, openRun, previewUrl, rowSteps } from '../edge/playground/run.js'
import { runSummary, standing, stateWord } from '../edge/playground/wording.js'
import { ACCEPT_RULES, type JobParameters, STRATEGIES } from '../shared/job.ts'
import { JobEvent } from '../shared/job-event.ts'
import { LIMITS } from '../shared/limits.ts'

// The playground's modules that touch no page; the page itself is tested in a browser, end-to-end/playground.test.ts.

const PARAMETERS: JobParameters = {
  model: 'test-model',
  revision: 'a'.repeat(64),
  prompt: "a photo of Bob's apple",
  seed: 7,
  candidates: 3,
  strategy: 'parm',
  accept: 'best',
  steps: 10,
  corrections: 0,
  guidance: 2,
  verifier: 'parm',
}
const RECORD = { id: `job_${'0'.repeat(26)}`, parameters: PARAMETERS, cache: 'miss' } as const

/** Two candidates judged at step 3: 0 pruned, 1 kept; 2 still waits. */
const HALFWAY: JobEvent[] = [
  { type: 'queued' },
  { type: 'started', attempt: 1, worker: 'w1', warnings: ['"quux" is not known'] },
  { type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 },
  { type: 'candidate', candidate: 1, phase: 'running', stepsDone: 0 },
  verdict(0, 3, { clarity: 0.8, potential: 0.2 }, 'prune'),
  { type: 'preview', candidate: 0, stepIndex: 3, png: 'AAAA' },
  { type: 'candidate', candidate: 0, phase: 'pruned', stepsDone: 4 },
  verdict(1, 3, { clarity: 0.7, potential: 0.9 }, 'keep'),
]

const RESULT = {
  image: { sha256: 'b'.repeat(64), bytes: 100, width: 96, height: 96, contentType: 'image/png' },
  candidate: 1,
  alignment: 0.8,
  reason: 'best',
  cost: { rowSteps: 14, rowStepsSaved: 16, judgeCalls: 3, candidatesStarted: 2, workMs: 1200 },
  warnings: [],
} as const

function verdict(
  candidate: number,
  stepIndex: number,
  answers: { clarity?: number; potential?: number; alignment?: number },
  decision: 'unclear' | 'keep' | 'prune' | 'accept',
): JobEvent {
  return { type: 'verdict', candidate, stepIndex, ...answers, decision, verifier: 'parm', ms: 5 }
}

const play = (events: readonly JobEvent[]) =>
  events.map((event) => JobEvent.parse(event)).reduce(applyEvent, openRun(RECORD))

describe('a run', () => {
  it('counts row-steps from what it saw, and what pruning saved at once', () => {
    expect(rowSteps(play(HALFWAY))).toEqual({ possible: 30, spent: 8, saved: 6 })
  })

  it("shows the service's own count once the job is over", () => {
    const run = play([...HALFWAY, { type: 'succeeded', result: { ...RESULT, warnings: [] } }])
    expect(rowSteps(run)).toEqual({ possible: 30, spent: 14, saved: 16 })
    expect(isOver(run)).toBe(true)
  })

  it('looks at the most promising candidate that is still in the race, then at the winner', () => {
    expect(leadingCandidate(play(HALFWAY))).toBe(1)
    const finished = [...HALFWAY, verdict(2, 9, { alignment: 0.1 }, 'keep')]
    expect(leadingCandidate(play(finished))).toBe(2)
    expect(leadingCandidate(play([...finished, { type: 'succeeded', result: { ...RESULT, warnings: [] } }]))).toBe(1)
  })

  it('forgets what an earlier attempt said when a new one starts', () => {
    const run = play([...HALFWAY, { type: 'started', attempt: 2, worker: 'w2', warnings: [] }])
    expect(run.candidates).toEqual(openRun(RECORD).candidates)
    expect(run.worker).toBe('w2')
    expect(run.warnings).toEqual([])
  })

  it('keeps one preview a step, in the order of the steps', () => {
    const previews: JobEvent[] = [5, 2, 5].map((stepIndex, index) => ({
      type: 'preview',
      candidate: 0,
      stepIndex,
      png: `AAA${index}`,
    }))
    const [candidate] = play(previews).candidates
    expect(candidate?.previews.map(({ stepIndex }) => stepIndex)).toEqual([2, 5])
    expect(candidate && previewUrl(candidate)).toBe('data:image/png;base64,AAA2')
    expect(candidate && previewUrl(candidate, 2)).toBe('data:image/png;base64,AAA1')
  })

  it('says why a candidate was pruned, and that others were cut short when the job ended', () => {
    const run = play([...HALFWAY, { type: 'canceled' }])
    const [pruned, running, waiting] = run.candidates
    expect(pruned && standing(pruned, run)).toBe('Pruned after step 4 of 10: potential 0.20.')
    expect(running && stateWord(running, run)).toBe('unfinished')
    expect(waiting && stateWord(waiting, run)).toBe('not started')
    expect(runSummary(run)).toBe('Canceled')
  })
})

describe('a link and a command', () => {
  it('repeats every field a person typed, and leaves out what was left empty', () => {
    const typed = { prompt: 'a café & 50% #1 "cup"', candidates: '8', seed: '0', steps: '' }
    const hash = hashOf(typed)
    expect(hash.startsWith('#prompt=')).toBe(true)
    expect(valuesOf(hash)).toEqual({ prompt: typed.prompt, candidates: '8', seed: '0' })
    expect(hashOf({})).toBe('')
  })

  it('ignores fields that the page does not have', () => {
    expect(valuesOf('#prompt=x&__proto__=y&onclick=z')).toEqual({ prompt: 'x' })
  })

  it('quotes the prompt for a shell', () => {
    const body = curlCommand(PARAMETERS, 'https://edge.example', { format: 'png', size: undefined }).match(
      /-d '([\s\S]*)' \\\n/,
    )?.[1]
    expect(body).toContain(`Bob'\\''s`)
    const { revision: _, model, prompt, ...parm } = PARAMETERS
    expect(JSON.parse(body?.replaceAll(`'\\''`, "'") ?? '')).toEqual({ model, prompt, parm })
  })

  it('makes a file name of any prompt', () => {
    expect(fileName(PARAMETERS)).toBe('a-photo-of-bob-s-apple-7.png')
    expect(fileName({ ...PARAMETERS, prompt: '🍎/..' })).toBe('picture-7.png')
  })
})

describe('index.html', () => {
  const html = readFileSync(new URL('../edge/playground/index.html', import.meta.url), 'utf8')

  it('offers exactly the candidates, strategies and accept rules that the API takes', () => {
    const range = html.match(/id="candidates"[^>]*/)?.[0]
    expect(range).toContain(`min="${LIMITS.candidates.min}"`)
    expect(range).toContain(`max="${LIMITS.candidates.max}"`)
    const offered = (name: string) =>
      [...html.matchAll(new RegExp(`name="${name}"\\s+value="(\\w+)"`, 'g'))].map((match) => match[1]).sort()
    expect(offered('strategy')).toEqual([...STRATEGIES].sort())
    expect(offered('accept')).toEqual([...ACCEPT_RULES].sort())
  })

  it('has no inline script or style and loads nothing from elsewhere, so that the strict policy of _headers holds', () => {
    expect(html).not.toMatch(/<script(?![^>]*src=)|<style|\sstyle=|\son\w+=/)
    expect(html).not.toMatch(/(?:src|<link[^>]*href)="(?:https?:)?\/\//)
  })
})
