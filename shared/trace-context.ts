/**
 * Where in which trace something happens: W3C Trace Context, version 00. Edge, queue and worker hand it on as the text of a
 * `traceparent`; the id of every span is made by the half that it happens in.
 */
export interface TraceContext {
  /** 32 lower-case hex digits, not all 0. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all 0. */
  readonly spanId: string
  /** Whether the trace is recorded; decided where it begins and followed by everybody after. */
  readonly isSampled: boolean
}

/** Ids of zeros only are invalid there. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/
const SAMPLED_FLAG = 1

/** @returns undefined for what is no traceparent */
export function readTraceparent(text: string | null | undefined): TraceContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text ?? '') ?? []
  if (traceId === undefined || spanId === undefined) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags ?? '', 16) & SAMPLED_FLAG) !== 0 }
}

export function traceparentOf({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`
}
