import { describe, expect, it } from 'vitest'
import { Registry } from '../../../gpu-worker/src/metrics/prometheus.ts'

describe('the text format', () => {
  it('has one line for each series of a counter, with its labels escaped', () => {
    const registry = new Registry()
    const counter = registry.counter<'name'>('things_total', 'Things.\nAll of them.')
    counter.add({ name: 'a "b" \\ c\nd' }, 2)
    counter.add({ name: 'plain' }, 0.5)
    counter.add({ name: 'plain' }, 1)
    expect(registry.text()).toBe(
      [
        '# HELP things_total Things.\\nAll of them.',
        '# TYPE things_total counter',
        'things_total{name="a \\"b\\" \\\\ c\\nd"} 2',
        'things_total{name="plain"} 1.5',
        '',
      ].join('\n'),
    )
  })

  it('counts a histogram’s values cumulatively, bounds included', () => {
    const registry = new Registry()
    const histogram = registry.histogram<'call'>('call_seconds', 'Calls.', [0.1, 1])
    for (const seconds of [0.05, 0.1, 0.5, 7]) histogram.observe({ call: 'step' }, seconds)
    expect(registry.text()).toBe(
      [
        '# HELP call_seconds Calls.',
        '# TYPE call_seconds histogram',
        'call_seconds_bucket{call="step",le="0.1"} 2',
        'call_seconds_bucket{call="step",le="1"} 3',
        'call_seconds_bucket{call="step",le="+Inf"} 4',
        'call_seconds_sum{call="step"} 7.65',
        'call_seconds_count{call="step"} 4',
        '',
      ].join('\n'),
    )
  })

  it('reads gauges and counters of others at each scrape', () => {
    const registry = new Registry()
    let free = 3
    registry.gauge('free', 'Free.', () => free)
    registry.readCounter('cpu_seconds_total', 'Time.', () => free / 2)
    expect(registry.text()).toContain('free 3\n')
    free = 1
    expect(registry.text()).toContain('free 1\n')
    expect(registry.text()).toContain('# TYPE cpu_seconds_total counter\ncpu_seconds_total 0.5\n')
  })

  it('refuses a second metric of the same name and a counter that falls', () => {
    const registry = new Registry()
    const counter = registry.counter('a_total', 'A.')
    expect(() => registry.gauge('a_total', 'A.', () => 0)).toThrow('a_total is registered twice')
    expect(() => counter.add({}, -1)).toThrow('can only grow, got -1')
    expect(() => counter.add({}, Number.NaN)).toThrow('can only grow, got NaN')
  })
})
