import { describe, expect, it } from 'vitest'
import type { GenevalTask } from '../../../gpu-worker/src/geneval/metadata.ts'
import { compareRuns } from '../../../gpu-worker/src/geneval/run-comparison.ts'
import { comparisonText } from '../../../gpu-worker/src/geneval/run-comparison-report.ts'
import type { ImageResult } from '../../../gpu-worker/src/geneval/run-folder.ts'

/** Two pictures each of a colour prompt and two counting prompts that stand at places 5 to 7 of all sets' prompts. */
const TAGS: GenevalTask[] = ['colors', 'counting', 'counting']

function resultsOf(correct: readonly boolean[], rowSteps: number, judgeCalls: number): ImageResult[] {
  return correct.map((isCorrect, place) => {
    const prompt = Math.floor(place / 2)
    return {
      prompt: 5 + prompt,
      image: place % 2,
      tag: TAGS[prompt] as GenevalTask,
      correct: isCorrect,
      geneval: isCorrect,
      failures: [],
      seed: place,
      candidate: 0,
      rowSteps,
      rowStepsSaved: 0,
      judgeCalls,
    }
  })
}

const plain = { name: 'plain', results: resultsOf([true, true, true, false, false, false], 40, 8) }
const halving = { name: 'halving', results: resultsOf([true, true, true, true, false, true], 24, 12) }

describe('a comparison of runs', () => {
  it('has scores by task, gains over the first run and costs by hand', () => {
    const [first, second] = compareRuns([plain, halving], 0.5)
    expect(first).toMatchObject({ score: { overall: { value: 0.625 } }, gain: { value: 0, low: 0, high: 0 } })
    expect(second?.score.tasks.counting?.value).toBe(0.75)
    expect(second?.score.overall.value).toBe(0.875)
    expect(second?.gain.value).toBe(0.25)
    expect([first?.cost?.value, second?.cost?.value]).toEqual([44, 30])
  })

  it('resamples prompts together, so that equal gains everywhere leave no doubt', () => {
    const better = { name: 'better', results: resultsOf([true, true, true, true, true, true], 40, 8) }
    const worse = { name: 'worse', results: resultsOf([false, true, true, false, false, true], 40, 8) }
    const [, gained] = compareRuns([worse, better], undefined)
    expect(gained?.gain).toEqual({ value: 0.5, low: 0.5, high: 0.5 })
    expect(gained?.cost).toBeUndefined()
  })

  it('reads as one table for each set of prompts', () => {
    const configuration = {
      bundle: 'made-up',
      revision: 'a'.repeat(64),
      sets: 'own',
      prompts: 'b'.repeat(64),
      images: 2,
      seed: 3,
      strategy: 'parm',
      accept: 'best',
      search: 'plain',
      guidedShare: 1,
      verifier: 'parm',
      candidates: 4,
      steps: 12,
      corrections: 0,
      guidance: 1,
    } as const
    const text = comparisonText(configuration, [{ name: 'own', runs: compareRuns([plain, halving], undefined) }])
    expect(text).toContain('## own prompts\n\n| run | single_object |')
    expect(text).toMatch(/^\| halving \| – \| – \| 0\.750 \| 1\.000 \|.*\| 24\.0 \(60%\) \| 12\.0 \(150%\) \| – \|$/m)
  })
})
