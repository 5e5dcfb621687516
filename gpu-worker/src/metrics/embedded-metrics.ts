export const METRIC_UNITS = ['Count', 'Seconds'] as const
export type MetricUnit = (typeof METRIC_UNITS)[number]

export interface MetricSample {
  /** By metric name. */
  readonly values: Readonly<Record<string, { readonly value: number; readonly unit: MetricUnit }>>
  /** By dimension name. */
  readonly dimensions: Readonly<Record<string, string>>
}

/**
 * One log line from which CloudWatch Logs takes metrics by itself, so that a worker needs no SDK, no permission and no
 * network call to publish them.
 * Source: CloudWatch embedded metric format specification.
 *
 * @param namespace  `ParmEdge/production`
 * @param atMs       milliseconds since the epoch
 */
export function embeddedMetricsLine(namespace: string, atMs: number, { values, dimensions }: MetricSample): string {
  const metrics = Object.entries(values).map(([name, { unit }]) => ({ Name: name, Unit: unit }))
  const numbers = Object.entries(values).map(([name, { value }]) => [name, value] as const)
  return JSON.stringify({
    _aws: {
      Timestamp: atMs,
      CloudWatchMetrics: [{ Namespace: namespace, Dimensions: [Object.keys(dimensions)], Metrics: metrics }],
    },
    ...dimensions,
    ...Object.fromEntries(numbers),
  })
}
