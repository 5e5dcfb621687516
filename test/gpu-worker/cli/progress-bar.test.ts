import { describe, expect, it } from 'vitest'
import { formatDuration, ProgressBar } from '../../../gpu-worker/src/cli/progress-bar.ts'

/** A stream that remembers, and a clock that stands still until it is moved. */
function stage(isTTY: boolean): {
  stream: { isTTY: boolean; write(text: string): void }
  text: () => string
  time: { now: number }
} {
  let written = ''
  const stream = {
    isTTY,
    write: (text: string) => {
      written += text
    },
  }
  return { stream, text: () => written, time: { now: 0 } }
}

describe('ProgressBar', () => {
  it('redraws one line on a terminal', () => {
    const { stream, text, time } = stage(true)
    const bar = new ProgressBar('pictures', 0, stream, () => time.now)
    time.now = 1000
    bar.update(1, 4)
    time.now = 2000
    bar.finish(4, 4)
    const [, first, last] = text().split('\r')
    expect(first).toBe('[#######.....................] pictures 1/4, 3 s left')
    expect(last?.trimEnd()).toBe('[############################] pictures 4/4, 2 s in all')
    expect(text().endsWith('\n')).toBe(true)
  })

  it('wipes its line for an error message', () => {
    const { stream, text } = stage(true)
    const bar = new ProgressBar('pictures', 0, stream, () => 0)
    bar.update(0, 4)
    const shown = text().length - 1
    bar.clear()
    expect(text().slice(shown + 1)).toBe(`\r${' '.repeat(shown)}\r`)
  })

  it('writes a plain line now and then elsewhere', () => {
    const { stream, text, time } = stage(false)
    const bar = new ProgressBar('pictures', 0, stream, () => time.now)
    for (let done = 1; done <= 100; done++) {
      time.now += 100
      bar.update(done, 100)
    }
    bar.finish(100, 100)
    expect(text()).toBe('pictures 1/100, 10 s left\npictures 51/100, 5 s left\npictures 100/100, 10 s in all\n')
  })

  it('does not count what was done before for its speed', () => {
    const { stream, text, time } = stage(false)
    const bar = new ProgressBar('pictures', 90, stream, () => time.now)
    time.now = 1000
    bar.update(91, 100)
    expect(text()).toBe('pictures 91/100, 9 s left\n')
  })
})

describe('formatDuration', () => {
  it('chooses the unit by size', () => {
    expect([850, 12_300, 200_000].map(formatDuration)).toEqual(['850 ms', '12 s', '3 min 20 s'])
  })
})
