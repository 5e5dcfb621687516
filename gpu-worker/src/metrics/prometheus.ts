/**
 * Counters, gauges and histograms in Prometheus' text format, version 0.0.4. Written here because it is little, and the
 * usual library had seen no release for two years when this was chosen.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import { InvariantError } from '../../../shared/error-code.ts'

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export type Labels<Name extends string> = Readonly<Record<Name, string>>

interface Metric {
  lines(): string[]
}

/** The metrics of one process, in the order in which they were made. */
export class Registry {
  readonly #metrics = new Map<string, Metric>()

  /** A sum that never falls; its name ends in `_total`. */
  counter<Name extends string = never>(name: string, help: string): Counter<Name> {
    return this.#add(name, new Counter<Name>(name, help))
  }

  /** @param read  the value at the moment of a scrape */
  gauge(name: string, help: string, read: () => number): void {
    this.#add(name, { lines: () => [...header(name, help, 'gauge'), sample(name, {}, read())] })
  }

  /** A counter that somebody else keeps. `read` gives its value at the moment of a scrape; it never falls. */
  readCounter(name: string, help: string, read: () => number): void {
    this.#add(name, { lines: () => [...header(name, help, 'counter'), sample(name, {}, read())] })
  }

  /** @param bounds  upper bounds of the buckets, rising, in the metric's unit; +Inf is added */
  histogram<Name extends string = never>(name: string, help: string, bounds: readonly number[]): Histogram<Name> {
    return this.#add(name, new Histogram<Name>(name, help, bounds))
  }

  /** The body of one scrape. */
  text(): string {
    return `${[...this.#metrics.values()].flatMap((metric) => metric.lines()).join('\n')}\n`
  }

  #add<T extends Metric>(name: string, metric: T): T {
    if (this.#metrics.has(name)) throw new InvariantError(`metric ${name} is registered twice`)
    this.#metrics.set(name, metric)
    return metric
  }
}

export class Counter<Name extends string = never> implements Metric {
  readonly #name: string
  readonly #help: string
  readonly #series = new Map<string, { labels: Labels<Name>; value: number }>()

  constructor(name: string, help: string) {
    this.#name = name
    this.#help = help
  }

  /** @param amount  >= 0 */
  add(labels: Labels<Name>, amount: number): void {
    if (!(amount >= 0)) throw new InvariantError(`counter ${this.#name} can only grow, got ${amount}`)
    const key = JSON.stringify(labels)
    const series = this.#series.get(key)
    if (series === undefined) this.#series.set(key, { labels, value: amount })
    else series.value += amount
  }

  lines(): string[] {
    const samples = [...this.#series.values()].map(({ labels, value }) => sample(this.#name, labels, value))
    return [...header(this.#name, this.#help, 'counter'), ...samples]
  }
}

export class Histogram<Name extends string = never> implements Metric {
  readonly #name: string
  readonly #help: string
  readonly #bounds: readonly number[]
  readonly #series = new Map<string, { labels: Labels<Name>; counts: number[]; sum: number }>()

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name
    this.#help = help
    this.#bounds = [...bounds, Number.POSITIVE_INFINITY]
  }

  observe(labels: Labels<Name>, value: number): void {
    const key = JSON.stringify(labels)
    const series = this.#series.get(key) ?? { labels, counts: this.#bounds.map(() => 0), sum: 0 }
    this.#series.set(key, series)
    for (const [index, bound] of this.#bounds.entries()) {
      if (value <= bound) series.counts[index] = (series.counts[index] ?? 0) + 1
    }
    series.sum += value
  }

  lines(): string[] {
    const samples = [...this.#series.values()].flatMap(({ labels, counts, sum }) => [
      ...counts.map((count, index) =>
        sample(`${this.#name}_bucket`, { ...labels, le: formatNumber(this.#bounds[index] as number) }, count),
      ),
      sample(`${this.#name}_sum`, labels, sum),
      sample(`${this.#name}_count`, labels, counts.at(-1) ?? 0),
    ])
    return [...header(this.#name, this.#help, 'histogram'), ...samples]
  }
}

function header(name: string, help: string, type: 'counter' | 'gauge' | 'histogram'): string[] {
  return [`# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${type}`]
}

function sample(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${formatNumber(value)}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}
