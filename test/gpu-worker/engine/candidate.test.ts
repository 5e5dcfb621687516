import { describe, expect, test } from 'vitest'
import {
  type Candidate,
  createCandidate,
  finish,
  grantSlot,
  hold,
  letOn,
  prune,
  resume,
  slotOf,
  stop,
  yieldSlot,
} from '../../../gpu-worker/src/engine/candidate.ts'

const RESULT = { codes: new Int32Array(2), pixels: new Uint8Array(6), score: 0.5, alignment: 0.5, isAccepted: false }

const TRANSITIONS = {
  grant: (candidate: Candidate) => grantSlot(candidate, 0),
  yield: yieldSlot,
  hold,
  letOn,
  prune: (candidate: Candidate) => prune(candidate, 0.1),
  resume,
  finish: (candidate: Candidate) => finish(candidate, RESULT),
  stop: (candidate: Candidate) => stop(candidate, 'test'),
}
type Name = keyof typeof TRANSITIONS

const WAYS: Record<Candidate['state']['phase'], Name[]> = {
  waiting: [],
  running: ['grant'],
  held: ['grant', 'hold'],
  pruned: ['grant', 'prune'],
  finished: ['grant', 'finish'],
  stopped: ['stop'],
}
const ALLOWED: Record<Candidate['state']['phase'], Name[]> = {
  waiting: ['grant', 'stop'],
  running: ['yield', 'hold', 'prune', 'finish', 'stop'],
  held: ['letOn', 'prune', 'stop'],
  pruned: ['resume'],
  finished: [],
  stopped: [],
}

function candidateIn(phase: Candidate['state']['phase']): Candidate {
  const candidate = createCandidate(3, 2, 100)
  for (const name of WAYS[phase]) TRANSITIONS[name](candidate)
  return candidate
}

describe('candidate states', () => {
  const cases = (Object.keys(ALLOWED) as (keyof typeof ALLOWED)[]).flatMap((phase) =>
    (Object.keys(TRANSITIONS) as Name[]).map((name) => [phase, name, ALLOWED[phase].includes(name)] as const),
  )
  test.each(cases)('%s --%s--> is allowed: %s', (phase, name, isAllowed) => {
    const candidate = candidateIn(phase)
    expect(candidate.state.phase).toBe(phase)
    if (isAllowed) {
      const { from, to } = TRANSITIONS[name](candidate)
      expect(from).toBe(phase)
      expect(candidate.state.phase).toBe(to)
    } else {
      expect(() => TRANSITIONS[name](candidate)).toThrow(`candidate 3: ${phase} -> `)
      expect(candidate.state.phase).toBe(phase)
    }
  })

  test('begins with nothing known', () => {
    expect(createCandidate(0, 3, 7).path).toEqual({
      tokens: Int32Array.of(7, 7, 7),
      confidence: undefined,
      beganAs: 0,
      stepsDone: 0,
      isClear: false,
      potential: undefined,
    })
  })

  test('owns a slot only while it runs', () => {
    expect(slotOf(candidateIn('running'))).toBe(0)
    expect(() => slotOf(candidateIn('pruned'))).toThrow('candidate 3 is pruned and owns no slot')
  })
})
