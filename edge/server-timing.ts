/** What it reads of a job, or of a request for scores. */
interface Timed {
  readonly createdAt: number
  readonly startedAt?: number | undefined
  readonly result?: { readonly cost: { readonly workMs: number } } | undefined
  readonly verdicts: readonly { readonly ms: number }[]
}

/**
 * The `Server-Timing` header (W3C) of an answer that waited for its job, in milliseconds. queue: until a worker took it;
 * none for who joined later. gpu: the worker's first tick to its end. verify: the part of that in which the verifier was
 * asked, as the verdicts tell it.
 */
export function serverTiming({ createdAt, startedAt = createdAt, result, verdicts }: Timed): string {
  const metrics = {
    queue: Math.max(startedAt - createdAt, 0),
    gpu: result?.cost.workMs ?? 0,
    verify: verdicts.reduce((sum, { ms }) => sum + ms, 0),
  }
  return Object.entries(metrics)
    .map(([name, ms]) => `${name};dur=${Math.round(ms * 10) / 10}`)
    .join(', ')
}
