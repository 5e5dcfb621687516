/** Where spans go, in OpenTelemetry's own words for it. */
export interface TraceTarget {
  /** OTLP over HTTP, without /v1/traces. */
  readonly endpoint: string
  /** `name=value,name=value`; empty for none. */
  readonly headers: string
}

/** @returns undefined where the environment names no endpoint */
export function traceTarget(environment: Readonly<Record<string, string | undefined>>): TraceTarget | undefined {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers = '' } = environment
  return endpoint ? { endpoint, headers } : undefined
}

/** As edge and worker read them. */
export function traceVariables(target: TraceTarget | undefined): Record<string, string> {
  if (target === undefined) return {}
  return { OTEL_EXPORTER_OTLP_ENDPOINT: target.endpoint, OTEL_EXPORTER_OTLP_HEADERS: target.headers }
}
