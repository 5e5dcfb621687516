import type { Env } from './env.ts'

/** What hono's context carries. */
export interface AppEnv {
  Bindings: Env
  Variables: {
    /** A UUID, also in the `x-request-id` header and the problem's `instance`. */
    requestId: string
    /** Who pays and shares fairly; set by `authenticate`. */
    tenant: string
  }
}
