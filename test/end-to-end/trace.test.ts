import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { type CollectedSpan, TraceCollector } from '../../infra/trace/trace-collector.ts'

vi.setConfig({ testTimeout: 300_000 })
const ROOT = resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'parm-trace-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs `npm run trace` and loads what it wrote the way a backend would. */
async function traceOfOneRequest(): Promise<{ stdout: string; spans: CollectedSpan[]; traceId: string }> {
  const file = join(folder, 'trace.json')
  const args = ['infra/trace.ts', 'a photo of a red apple', '--candidates', '2', '--steps', '4', '--out', file]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT })
  const { traceId } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { traceId: string }
  const collector = await TraceCollector.start()
  try {
    const body = readFileSync(file, 'utf8')
    expect((await fetch(`${collector.endpoint}/v1/traces`, { method: 'POST', body })).status).toBe(200)
    return { stdout, spans: collector.spansOf(traceId), traceId }
  } finally {
    await collector.stop()
  }
}

describe('one request', () => {
  it('is one trace: edge, queue, worker, steps, judge, decode, and the edge again', async () => {
    const { stdout, spans, traceId } = await traceOfOneRequest()
    const byId = new Map(spans.map((span) => [span.spanId, span]))
    /** From the span to the caller's. */
    const chainOf = (span: CollectedSpan): string[] => {
      const parent = byId.get(span.parentSpanId ?? '')
      return [`${span.service}: ${span.name}`, ...(parent ? chainOf(parent) : [])]
    }
    const chains = new Set(spans.map((span) => chainOf(span).join(' < ')))
    const edge = 'parm-edge: POST /v1/images/generations'
    const sent = `parm-edge: send interactive < ${edge}`
    const worker = `parm-worker: process interactive < ${sent}`
    const expected = [
      edge,
      sent,
      `parm-worker: wait interactive < ${sent}`,
      worker,
      ...['claim', 'prepare', 'step', 'judge', 'decode', 'report', 'store image'].map(
        (name) => `parm-worker: ${name} < ${worker}`,
      ),
      `parm-edge: POST /internal/v1/jobs/:id/claim < parm-worker: claim < ${worker}`,
      `parm-edge: POST /internal/v1/jobs/:id/events < parm-worker: report < ${worker}`,
      `parm-edge: PUT /internal/v1/images/:sha256 < parm-worker: store image < ${worker}`,
    ]
    expect([...chains].sort()).toEqual(expected.sort())
    expect(spans.every((span) => span.traceId === traceId && !span.hasFailed)).toBe(true)
    // Both halves speak of the same job.
    const jobIds = spans.flatMap(({ attributes }) => attributes['parm.job_id'] ?? [])
    expect(new Set(jobIds).size).toBe(1)
    expect(jobIds.length).toBeGreaterThan(3)
    // A candidate's step is a row, and every row is in some step.
    const rowSteps = spans.find(({ name }) => name === 'process interactive')?.attributes['parm.row_steps']
    const rows = spans.filter(({ name }) => name === 'step').map(({ attributes }) => Number(attributes['parm.rows']))
    expect(rows.reduce((sum, count) => sum + count, 0)).toBe(Number(rowSteps))
    expect(stdout).toContain('worker: process interactive')
  })
})
