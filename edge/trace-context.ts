/** W3C Trace Context, version 00; ids of zeros only are invalid there. */
const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** @returns the caller's `traceparent`, or undefined where there is none that can be passed on */
export function traceparentOf(headers: Headers): string | undefined {
  const text = headers.get('traceparent') ?? ''
  return TRACEPARENT.test(text) ? text : undefined
}

/** @returns the 32 hex digits by which a trace is found; undefined for what is no traceparent */
export function traceIdOf(traceparent: string | undefined): string | undefined {
  return TRACEPARENT.exec(traceparent ?? '')?.[1]
}
