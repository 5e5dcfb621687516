import { describe, expect, it } from 'vitest'
import { linePlot } from '../../../../gpu-worker/src/geneval/comparison/line-plot.ts'

const AXES = {
  title: 'a < b',
  xLabel: 'candidates',
  yLabel: 'score',
  xScale: 'log',
  xTicks: [1, 4, 16],
} as const

describe('linePlot', () => {
  const svg = linePlot(
    [
      { label: 'one', points: [1, 4, 16].map((x) => ({ x, y: x / 20, low: x / 25, high: x / 18 })) },
      { label: 'bound', points: [{ x: 1, y: 0.5 }], isDashed: true },
    ],
    AXES,
  )

  it('draws a dot for each point, an interval where there is one, and a legend', () => {
    expect(svg.match(/<circle /g)).toHaveLength(4)
    expect(svg.match(/<path d="(M[\d.]+ [\d.]+V[\d.]+){3}"/g)).toHaveLength(1)
    expect(svg).toContain('>one</text>')
    expect(svg).toContain('>bound</text>')
    expect(svg.match(/stroke-dasharray/g)).toHaveLength(2)
    expect(svg).toContain('a &lt; b')
  })

  it('has equal distances between equal factors on a logarithmic axis', () => {
    const [first, second, third] = [...svg.matchAll(/cx="([\d.]+)"/g)].map(([, x]) => Number(x))
    expect((second ?? 0) - (first ?? 0)).toBeCloseTo((third ?? 0) - (second ?? 0), 0)
  })

  it('draws higher values higher up, inside the frame', () => {
    const ys = [...svg.matchAll(/cy="([\d.]+)"/g)].slice(0, 3).map(([, y]) => Number(y))
    expect(ys).toEqual([...ys].sort((a, b) => b - a))
    for (const y of ys) expect(y).toBeGreaterThanOrEqual(30)
    for (const y of ys) expect(y).toBeLessThanOrEqual(350)
    expect(svg).not.toContain('NaN')
  })
})
