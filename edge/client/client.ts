import { AdminCalls } from './admin-calls.ts'
import { ImageCalls } from './image-calls.ts'
import { JobCalls } from './job-calls.ts'
import { ScoreCalls } from './score-calls.ts'
import { ServiceCalls } from './service-calls.ts'
import { type ClientOptions, Transport } from './transport.ts'

/**
 * A client of the public API, typed by the schemas that the service itself checks with. It has no dependency and runs in
 * browsers, Node and Workers; the service hands it out as `/client.js`.
 *
 * What may succeed later is tried again, when the service says so (`x-should-retry`, `retry-after-ms`). All else is a `ClientError`.
 */
export class ParmClient {
  readonly images: ImageCalls
  readonly jobs: JobCalls
  readonly scores: ScoreCalls
  readonly service: ServiceCalls
  /** The operator's routes; the client's key is then the operator's. */
  readonly admin: AdminCalls

  constructor(options: ClientOptions) {
    const transport = new Transport(options)
    this.images = new ImageCalls(transport)
    this.jobs = new JobCalls(transport)
    this.scores = new ScoreCalls(transport)
    this.service = new ServiceCalls(transport)
    this.admin = new AdminCalls(transport)
  }
}

export type { ImageRequest, JobRequest } from '../request-schema.ts'
export type { ScoreRequest } from '../score-request.ts'
export { ClientError } from './client-error.ts'
