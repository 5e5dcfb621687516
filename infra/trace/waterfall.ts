import type { CollectedSpan } from './trace-collector.ts'

/**
 * What keeps a job's trace from being one chain from the caller to the picture: a span whose parent never came, a call or a
 * message that nobody took up, or no worker at all.
 */
export function gapsOf(spans: readonly CollectedSpan[]): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const parents = new Set(spans.map(({ parentSpanId }) => parentSpanId))
  const roots = spans.filter(({ parentSpanId }) => parentSpanId === undefined || !ids.has(parentSpanId))
  return [
    ...(roots.length === 1 ? [] : [`${roots.length} spans begin it: ${roots.map(({ name }) => name).join(', ')}`]),
    ...spans
      .filter(({ kind, spanId }) => (kind === 'client' || kind === 'producer') && !parents.has(spanId))
      .map(({ name }) => `nobody took up "${name}"`),
    ...(spans.some(({ kind }) => kind === 'consumer') ? [] : ['no worker ended its work']),
  ]
}

const BAR_CELLS = 40
/** Longer runs of one name below one parent are told as one line. */
const SHOWN_ALONE = 3

/** A trace as text: one line a span, indented below its parent, with a bar on the time axis of the whole. */
export function waterfall(spans: readonly CollectedSpan[]): string[] {
  const startMs = Math.min(...spans.map((span) => span.startMs))
  const endMs = Math.max(...spans.map((span) => span.endMs))
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const isRoot = ({ parentSpanId }: CollectedSpan) => parentSpanId === undefined || !ids.has(parentSpanId)
  const lines: { label: string; from: number; to: number; detail: string }[] = []
  const tell = (group: readonly CollectedSpan[], depth: number): void => {
    for (const sameName of Map.groupBy(group, ({ name }) => name).values()) {
      const runs = sameName.length > SHOWN_ALONE && sameName.every(isLeaf) ? [sameName] : sameName.map((span) => [span])
      for (const run of runs) {
        lines.push({ label: `${'  '.repeat(depth)}${labelOf(run)}`, ...boundsOf(run), detail: detailOf(run) })
        const [only] = run
        if (run.length === 1 && only) tell(childrenOf(only), depth + 1)
      }
    }
  }
  const childrenOf = ({ spanId }: CollectedSpan) => spans.filter(({ parentSpanId }) => parentSpanId === spanId)
  const isLeaf = (span: CollectedSpan) => childrenOf(span).length === 0
  tell(spans.filter(isRoot), 0)
  const width = Math.max(...lines.map(({ label }) => label.length))
  return lines.map(
    ({ label, from, to, detail }) => `${label.padEnd(width)}  ${bar(from, to, startMs, endMs)}  ${detail}`,
  )
}

function labelOf(run: readonly CollectedSpan[]): string {
  const [{ service, name, hasFailed } = { service: '', name: '', hasFailed: false }] = run
  const count = run.length > 1 ? ` x${run.length}` : ''
  return `${service.replace('parm-', '')}: ${name}${count}${hasFailed ? ' (failed)' : ''}`
}

function boundsOf(run: readonly CollectedSpan[]): { from: number; to: number } {
  return { from: Math.min(...run.map(({ startMs }) => startMs)), to: Math.max(...run.map(({ endMs }) => endMs)) }
}

function detailOf(run: readonly CollectedSpan[]): string {
  const ms = run.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0)
  const rows = run.reduce((sum, { attributes }) => sum + Number(attributes['parm.rows'] ?? 0), 0)
  return `${ms.toFixed(0).padStart(6)} ms${rows > 0 ? `, ${rows} rows` : ''}`
}

function bar(from: number, to: number, startMs: number, endMs: number): string {
  const cell = (ms: number) => Math.round(((ms - startMs) / Math.max(1, endMs - startMs)) * (BAR_CELLS - 1))
  const [first, last] = [cell(from), cell(to)]
  return `${' '.repeat(first)}${'█'.repeat(last - first + 1)}`.padEnd(BAR_CELLS)
}
