import type { Context } from 'hono'
import { routePath } from 'hono/route'
import type { AppEnv } from './app-env.ts'

/**
 * What this isolate has answered since it began, for Prometheus. Nobody counts for the whole edge: Cloudflare runs it in as
 * many isolates as it likes, so every series carries its isolate's name and a new isolate begins new series. Rates added up
 * leave out the isolates that no scrape met; the request log has every request.
 */
export class EdgeMetrics {
  readonly #requests = new Map<string, number>()
  readonly #seconds = new Map<string, number>()
  readonly #cacheAnswers = new Map<string, number>()
  /** Named at the first question: before its first request a Worker has no random numbers. */
  #isolate: string | undefined

  /** @param ms  from the request to the beginning of its answer */
  countRequest(c: Context<AppEnv>, ms: number): void {
    const route = routePath(c, -1)
    add(this.#requests, { method: c.req.method, route, status: String(c.res.status) }, 1)
    add(this.#seconds, { route }, ms / 1000)
    const cache = c.get('cache')
    if (cache !== undefined) add(this.#cacheAnswers, { outcome: cache }, 1)
  }

  /** Prometheus' text format, version 0.0.4. */
  text(): string {
    this.#isolate ??= crypto.randomUUID()
    const isolate = this.#isolate
    const counter = (name: string, help: string, series: ReadonlyMap<string, number>) => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} counter`,
      ...[...series].map(([labels, value]) => `${name}{${labels},isolate="${isolate}"} ${value}`),
    ]
    return [
      ...counter('parm_edge_requests_total', 'Answers of this isolate.', this.#requests),
      ...counter('parm_edge_request_seconds_total', 'From requests to the beginning of their answers.', this.#seconds),
      ...counter('parm_edge_cache_answers_total', 'Requests for pictures, by what the cache did.', this.#cacheAnswers),
      '',
    ].join('\n')
  }
}

/** No label holds what a caller chose: routes are patterns, and a Worker gets no method outside of HTTP's. */
function add(series: Map<string, number>, labels: Readonly<Record<string, string>>, value: number): void {
  const key = Object.entries(labels)
    .map(([name, text]) => `${name}="${text}"`)
    .join(',')
  series.set(key, (series.get(key) ?? 0) + value)
}
