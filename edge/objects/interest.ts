import type { JobSpec, JobStore, Ticket } from './job-store.ts'

/** Who waits for a job's work, and how long; see the class comment of Job. */

/** The ticket of the request that opened the job. */
export function ticketOfOpener(spec: JobSpec): Ticket {
  const { id, tenant, labels, createdAt, deadline, cancelAt, webhook, reuse } = spec
  const cache = reuse.mode === 'fresh' || reuse.mode === 'none' ? 'bypass' : 'miss'
  const ticket: Ticket = { id, cache, tenant, labels, createdAt, deadline }
  if (cancelAt !== undefined) ticket.cancelAt = cancelAt
  if (webhook !== undefined) ticket.webhook = webhook
  return ticket
}

/** The ticket whose view stands for the work itself: the opener's may have been closed while others went on. */
export function witnessOf(store: JobStore): Ticket {
  const spec = store.spec()
  const opener = store.ticket(spec.id) ?? ticketOfOpener(spec)
  if (!opener.closed) return opener
  return store.openTickets().find(({ cache }) => cache !== 'hit') ?? opener
}

/** The work may go on until the last of those who wait gives up. */
export function latestDeadline(store: JobStore): number {
  return store.openTickets().at(-1)?.deadline ?? store.spec().deadline
}
