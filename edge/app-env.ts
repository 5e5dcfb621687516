import type { CacheOutcome } from '../shared/job-record.ts'
import type { TraceContext } from '../shared/trace-context.ts'
import type { Env } from './env.ts'
import type { Allowance } from './objects/tenant.ts'

/** Who pays and shares fairly. */
export interface Caller {
  tenant: string
  /** Undefined where no keys are asked for. */
  keyId: string | undefined
}

/** What hono's context carries. */
export interface AppEnv {
  Bindings: Env
  Variables: {
    /** A UUID, also in the `x-request-id` header and the problem's `instance`. */
    requestId: string
    /** The request's span; set by `traceRequest`. */
    trace: TraceContext
    /** Whether its caller asks for it to be recorded. */
    isTraceAsked: boolean
    /** Who asks for work; set by `authenticate`. */
    caller: Caller
    /** Where the caller's key stands; undefined where none was shown. */
    allowance: Allowance | undefined
    /** Whose jobs may be looked at; undefined: any, the address itself proves the right. Set by `authenticateReader`. */
    reader: string | undefined
    /** The job that the request opened or is about, and how the cache answered who asked for it; for the log. */
    jobId: string | undefined
    cache: CacheOutcome | undefined
    /** Answered from this isolate's memory. */
    isRemembered: boolean | undefined
  }
}
