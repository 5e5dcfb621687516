import type { SimulatedJob } from './fleet-task.ts'

/** One lane's queue with fair delivery between tenants, first come first served for each: SQS fair queues at their best. */
export class TenantQueue {
  readonly #byTenant = new Map<string, { readonly jobs: SimulatedJob[]; next: number }>()
  #length = 0

  get length(): number {
    return this.#length
  }

  push(job: SimulatedJob): void {
    const queue = this.#byTenant.get(job.tenant) ?? { jobs: [], next: 0 }
    queue.jobs.push(job)
    this.#byTenant.set(job.tenant, queue)
    this.#length += 1
  }

  /** The next tenant's oldest job; that tenant is last in line then. */
  shift(): SimulatedJob | undefined {
    const [first] = this.#byTenant
    if (first === undefined) return undefined
    const [tenant, queue] = first
    const job = queue.jobs[queue.next++] as SimulatedJob
    this.#length -= 1
    this.#byTenant.delete(tenant)
    if (queue.next < queue.jobs.length) this.#byTenant.set(tenant, queue)
    return job
  }

  *[Symbol.iterator](): Iterator<SimulatedJob> {
    for (const { jobs, next } of this.#byTenant.values())
      for (let place = next; place < jobs.length; place++) yield jobs[place] as SimulatedJob
  }

  /** Arrival of the oldest job, milliseconds; undefined where none waits. */
  get oldestMs(): number | undefined {
    const heads = [...this.#byTenant.values()].map(({ jobs, next }) => (jobs[next] as SimulatedJob).arrivalMs)
    return heads.length === 0 ? undefined : Math.min(...heads)
  }
}
