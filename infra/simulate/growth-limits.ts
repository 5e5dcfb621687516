/** What one job asks of each part, on average. */
export interface JobDemand {
  readonly rowSteps: number
  /** From receipt to deletion of its message. */
  readonly inFlightSeconds: number
  /** Of one task. */
  readonly rowStepsPerSecond: number
  /** The largest share of all jobs that one tenant sends, 0..1. */
  readonly largestTenant: number
  /** The largest share of all requests that ask for the same picture, 0..1. */
  readonly hottestPicture: number
}

export interface GrowthLimit {
  readonly part: string
  readonly limit: string
  /** Where the limit is published. */
  readonly source: string
  /** Jobs a second at which the part is at its limit; infinite where none is published. */
  readonly jobsPerSecond: number
  /** What to divide then, and how. */
  readonly remedy: string
}

/** Soft limit of a single object. Source: Durable Objects FAQ, "How much work can a single Durable Object do?" */
const REQUESTS_PER_OBJECT = 1000
/** Requests that a job's own object gets: submission, claim, about six batches of events, stream, image, end. */
const REQUESTS_PER_JOB_OBJECT = 12
/** Source: Amazon SQS standard queue quotas, messages in flight per queue. */
const IN_FLIGHT_PER_QUEUE = 120_000
/** Source: R2 limits, writes to the same object name. */
const WRITES_PER_KEY = 1
/** Source: Amazon ECS service quotas, tasks per service and container instances per cluster, each 5,000. */
const TASKS_PER_SERVICE = 5000

/** Where each part ends on the way to many jobs a second, the first to end first. */
export function growthLimits(demand: JobDemand): GrowthLimit[] {
  const { rowSteps, inFlightSeconds, rowStepsPerSecond, largestTenant, hottestPicture } = demand
  const limits: GrowthLimit[] = [
    {
      part: 'tenant object',
      limit: `${REQUESTS_PER_OBJECT} requests/s an object, one a job of the tenant`,
      source: 'developers.cloudflare.com/durable-objects/reference/faq',
      jobsPerSecond: REQUESTS_PER_OBJECT / largestTenant,
      remedy: 'several objects a tenant, each with its share of rate and budget, chosen by the hash of the request',
    },
    {
      part: 'cache-entry object',
      limit: `${REQUESTS_PER_OBJECT} requests/s an object, one a request for its picture`,
      source: 'developers.cloudflare.com/durable-objects/reference/faq',
      jobsPerSecond: REQUESTS_PER_OBJECT / hottestPicture,
      remedy: 'the Cache API in front of it: a finished picture never changes',
    },
    {
      part: 'job object',
      limit: `${REQUESTS_PER_OBJECT} requests/s an object; a job makes ${REQUESTS_PER_JOB_OBJECT} in all, on an object of its own`,
      source: 'developers.cloudflare.com/durable-objects/platform/limits (any number of objects)',
      jobsPerSecond: Number.POSITIVE_INFINITY,
      remedy: 'nothing: one object a job is the division',
    },
    {
      part: 'queue',
      limit: `${IN_FLIGHT_PER_QUEUE} messages in flight`,
      source: 'docs.aws.amazon.com/AWSSimpleQueueService, quotas of standard queues (calls a second: nearly unlimited)',
      jobsPerSecond: IN_FLIGHT_PER_QUEUE / inFlightSeconds,
      remedy: 'several queues a lane, chosen by the hash of the job id; workers poll two of them each',
    },
    {
      part: 'R2',
      limit: `${WRITES_PER_KEY} write/s a key; pictures are stored under their hash, each once`,
      source: 'developers.cloudflare.com/r2/platform/limits (any number of objects)',
      jobsPerSecond: Number.POSITIVE_INFINITY,
      remedy: 'nothing: keys are spread by their hash',
    },
    {
      part: 'workers',
      limit: `${TASKS_PER_SERVICE} tasks a service; ${rowSteps.toFixed(1)} row-steps a job, ${rowStepsPerSecond.toFixed(0)} a second and task`,
      source: 'docs.aws.amazon.com/AmazonECS, service quotas; both figures measured',
      jobsPerSecond: (TASKS_PER_SERVICE * rowStepsPerSecond) / rowSteps,
      remedy: 'a service a region with queues of its own, the edge choosing the nearest; larger GPUs before that',
    },
  ]
  return limits.sort((a, b) => a.jobsPerSecond - b.jobsPerSecond)
}
