import { describe, expect, it } from 'vitest'
import { PartialImages } from '../../edge/partial-images.ts'
import type { JobEvent } from '../../shared/job-event.ts'

const preview = (candidate: number, stepIndex: number): JobEvent => ({ type: 'preview', candidate, stepIndex, png: '' })
const judged = (candidate: number, potential: number): JobEvent => ({
  type: 'verdict',
  candidate,
  stepIndex: 0,
  potential,
  decision: 'keep',
  verifier: 'parm',
  ms: 1,
})
const phase = (candidate: number, name: 'pruned' | 'resumed'): JobEvent => ({
  type: 'candidate',
  candidate,
  phase: name,
  stepsDone: 1,
})

const shown = (partials: PartialImages, events: JobEvent[]): [number, number, number][] =>
  events.flatMap((event) => {
    const offer = partials.offer(event)
    return offer ? [[offer.index, offer.preview.candidate, offer.preview.stepIndex]] : []
  })

describe('PartialImages', () => {
  it.each([0, 1, 2, 3])('shows at most %i', (count) => {
    const all = Array.from({ length: 12 }, (_, stepIndex) => preview(0, stepIndex))
    expect(shown(new PartialImages(count, 12), all)).toHaveLength(count)
  })

  it('spreads them over the run', () => {
    const all = Array.from({ length: 12 }, (_, stepIndex) => preview(0, stepIndex))
    expect(shown(new PartialImages(3, 12), all).map(([, , step]) => step)).toEqual([2, 5, 8])
  })

  it('takes a candidate for as good as what its verdict went by', () => {
    const fused = { ...judged(0, 0.9), score: 0.2 } as JobEvent
    const events = [fused, judged(1, 0.5), preview(0, 5), preview(1, 5)]
    expect(shown(new PartialImages(1, 10), events)).toEqual([[0, 1, 5]])
  })

  it('shows the candidate that leads at that moment', () => {
    const events = [
      judged(0, 0.4),
      judged(1, 0.8),
      preview(0, 5),
      preview(1, 5),
      judged(0, 0.9),
      preview(1, 8),
      preview(0, 8),
    ]
    expect(shown(new PartialImages(2, 12), events)).toEqual([
      [0, 1, 5],
      [1, 0, 8],
    ])
  })

  it('passes over pruned candidates, and takes one back that is resumed', () => {
    const partials = new PartialImages(3, 3)
    expect(shown(partials, [judged(0, 0.9), judged(1, 0.1), phase(0, 'pruned'), preview(0, 1), preview(1, 1)])).toEqual(
      [[0, 1, 1]],
    )
    expect(shown(partials, [phase(0, 'resumed'), preview(1, 2), preview(0, 2)])).toEqual([[1, 0, 2]])
  })

  it('forgets what an earlier attempt said', () => {
    const started: JobEvent = { type: 'started', attempt: 2, worker: 'w', warnings: [] }
    expect(shown(new PartialImages(1, 2), [judged(1, 0.9), started, preview(0, 1)])).toEqual([[0, 0, 1]])
  })
})
