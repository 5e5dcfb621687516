import { describe, expect, it } from 'vitest'
import { scorePlot } from '../../../gpu-worker/src/geneval/score-plot.ts'
import { scoreImages, wilsonInterval } from '../../../gpu-worker/src/geneval/scores.ts'

describe('scoreImages', () => {
  it('takes the mean of the tasks, not of the images', () => {
    const images = [
      { tag: 'colors', correct: true },
      { tag: 'single_object', correct: true },
      { tag: 'single_object', correct: false },
      { tag: 'single_object', correct: false },
      { tag: 'single_object', correct: false },
    ] as const
    const { tasks, overall } = scoreImages(images)
    expect(tasks.map(({ task, score, images: count }) => [task, score, count])).toEqual([
      ['single_object', 0.25, 4],
      ['colors', 1, 1],
    ])
    expect(overall).toBe(0.625)
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
  it('draws one bar and one interval for each task', () => {
    const svg = scorePlot(
      scoreImages([
        { tag: 'counting', correct: true },
        { tag: 'position', correct: false },
      ]),
      'a < b',
    )
    expect(svg.match(/<rect /g)).toHaveLength(1 + 2)
    expect(svg).toContain('>counting<')
    expect(svg).toContain('a &lt; b')
  })
})
