import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { WorkerMetrics } from '../../gpu-worker/src/metrics/worker-metrics.ts'

interface Panel {
  readonly id: number
  readonly title: string
  readonly description: string
  readonly targets: readonly { readonly expr: string }[]
}

const path = new URL('../../infra/dashboard/workers.json', import.meta.url)
const { panels } = JSON.parse(readFileSync(path, 'utf8')) as { panels: Panel[] }
const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
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

  it('says of every panel what it means', () => {
    expect(panels.filter(({ description }) => description.length < 10)).toEqual([])
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  })
})
