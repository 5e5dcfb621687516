import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { WorkerMetrics } from '../../gpu-worker/src/metrics/worker-metrics.ts'

interface Panel {
  readonly id: number
  readonly title: string
  readonly description: string
  readonly targets: readonly { readonly expr: string }[]
}

const textOf = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const panelsOf = (half: string): Panel[] =>
  (JSON.parse(textOf(`infra/dashboard/${half}.json`)) as { panels: Panel[] }).panels
const queriesOf = (panels: readonly Panel[]): string[] =>
  panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
const queries = queriesOf(panelsOf('workers'))
const used = (query: string): string[] => query.match(/\b(?:parm|process|nodejs)_[a-z_]+/g) ?? []

/** Every name that a query may use: a histogram is queried by the names of its series. */
function servedNames(): { names: Set<string>; families: string[] } {
  const metrics = new WorkerMetrics()
  metrics.watchSlots(() => ({ total: 1, free: 1, jobs: 0 }))
  metrics.watchProcess()
  const types = [...metrics.registry.text().matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type]) => ({
    name,
    type,
  }))
  const names = types.flatMap(({ name, type }) =>
    type === 'histogram' ? ['_bucket', '_sum', '_count'].map((series) => name + series) : [name],
  )
  return { names: new Set(names), families: types.map(({ name }) => name) }
}

describe('the dashboard of the workers', () => {
  it('asks for metrics that a worker serves, and for nothing else', () => {
    const { names } = servedNames()
    expect(queries.length).toBeGreaterThan(10)
    for (const query of queries) {
      expect(used(query), query).not.toEqual([])
      expect(
        used(query).filter((name) => !names.has(name)),
        query,
      ).toEqual([])
    }
  })

  it('shows every metric that a worker counts itself', () => {
    const shown = queries.flatMap(used).join(' ')
    const missing = servedNames().families.filter((name) => name.startsWith('parm_') && !shown.includes(name))
    expect(missing).toEqual([])
  })
})

describe('the dashboard of the edge', () => {
  it('asks for all that an edge counts, and for nothing else', () => {
    // By its source: the edge's own types are those of workerd, which this half of the tests does not know.
    const served = [...textOf('edge/metrics.ts').matchAll(/counter\('(parm_edge_\w+)'/g)].map(([, name = '']) => name)
    const edgeQueries = queriesOf(panelsOf('edge'))
    expect(served.length).toBeGreaterThan(2)
    expect([...new Set(edgeQueries.flatMap(used))].sort()).toEqual(served.sort())
  })
})

describe.each(['workers', 'edge'])('the dashboard %s', (half) => {
  it('says of every panel what it means', () => {
    const panels = panelsOf(half)
    expect(panels.filter(({ description }) => description.length < 10)).toEqual([])
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  })
})
