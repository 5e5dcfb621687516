import { describe, expect, it } from 'vitest'
import type { GenevalTask } from '../../../gpu-worker/src/geneval/metadata.ts'
import { scorePlot } from '../../../gpu-worker/src/geneval/score-plot.ts'
import { type Score, type ScoredImage, scoreImages, type TaskScore } from '../../../gpu-worker/src/geneval/scores.ts'
import { wilsonInterval } from '../../../gpu-worker/src/geneval/wilson-interval.ts'

/** `correct` of each picture, by prompt. */
function images(tag: GenevalTask, ...prompts: readonly (readonly boolean[])[]): ScoredImage[] {
  return prompts.flatMap((ofPrompt, prompt) => ofPrompt.map((correct) => ({ prompt, tag, correct })))
}

describe('scoreImages', () => {
  const score = (...prompts: readonly (readonly boolean[])[]): TaskScore => {
    const [task] = scoreImages(images('colors', ...prompts)).tasks
    if (task === undefined) throw new Error('a task with images has no score')
    return task
  }
  const interval = ({ low, high }: Score): number[] => [low, high]

  it('takes the mean of the tasks, not of the images', () => {
    const { tasks, overall } = scoreImages([
      ...images('colors', [true]),
      ...images('single_object', [true, false], [false, false]),
    ])
    expect(tasks.map(({ task, score, images: count }) => [task, score, count])).toEqual([
      ['single_object', 0.25, 4],
      ['colors', 1, 1],
    ])
    expect(overall.score).toBe(0.625)
  })

  it('counts pictures of one prompt once where they always agree', () => {
    const alike = score([true, true], [true, true], [true, true], [false, false])
    expect(interval(alike)).toEqual(wilsonInterval(3, 4))
  })

  it('counts them as independent where they agree no more than others', () => {
    const unlike = score([true, false], [false, true], [true, false], [false, true])
    expect(interval(unlike)).toEqual(wilsonInterval(4, 8))
  })

  it('counts them in between where they agree more often than others', () => {
    // By hand: p = 5/8; the prompts' correct less expected are 3/4, -1/4, 3/4, -5/4, whose squares sum to 11/4;
    // variance 4/3 * (11/4) / 64 = 11/192; p(1-p) / variance = (15/64) * (192/11) = 45/11.
    const between = score([true, true], [true, false], [true, true], [false, false])
    const [low, high] = wilsonInterval((5 / 8) * (45 / 11), 45 / 11)
    expect(between.low).toBeCloseTo(low, 12)
    expect(between.high).toBeCloseTo(high, 12)
  })

  it('relies on the number of prompts where all pictures are right', () => {
    expect(interval(score([true, true, true], [true, true, true]))).toEqual(wilsonInterval(2, 2))
  })

  it('has for two tasks of equal width an overall interval narrower by the square root of two', () => {
    const half = [[true], [false], [true], [false]]
    const { tasks, overall } = scoreImages([...images('colors', ...half), ...images('counting', ...half)])
    const [task] = tasks
    expect(overall.high - overall.low).toBeCloseTo(((task?.high ?? 0) - (task?.low ?? 0)) / Math.SQRT2, 12)
  })
})

describe('wilsonInterval', () => {
  it('agrees with published values', () => {
    // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    const rounded = (successes: number, total: number): string[] =>
      wilsonInterval(successes, total).map((end) => end.toFixed(4))
    expect(rounded(81, 263)).toEqual(['0.2553', '0.3662'])
    expect(rounded(15, 148)).toEqual(['0.0624', '0.1605'])
    expect(rounded(0, 20)).toEqual(['0.0000', '0.1611'])
    expect(rounded(1, 29)).toEqual(['0.0061', '0.1718'])
  })

  it('stays within 0 and 1 when all are correct', () => {
    const [low, high] = wilsonInterval(5, 5)
    expect(high).toBe(1)
    expect(low).toBeGreaterThan(0.5)
  })
})

describe('scorePlot', () => {
  it('draws one bar and one interval for each task and for the mean', () => {
    const svg = scorePlot(scoreImages([...images('counting', [true]), ...images('position', [false])]), 'a < b')
    expect(svg.match(/<rect /g)).toHaveLength(1 + 3)
    expect(svg).toContain('>counting<')
    expect(svg).toContain('a &lt; b')
  })
})
