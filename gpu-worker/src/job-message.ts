import { z } from 'zod'
import { JobId, JobMessage, ScoreId, ScoreMessage, type WorkMessage } from '../../shared/job.ts'

/** The part of a message that lets us answer for its job even where the rest cannot be read. */
const Envelope = z.object({
  jobId: z.union([JobId, ScoreId]),
  callbackUrl: JobMessage.shape.callbackUrl,
  callbackKey: JobMessage.shape.callbackKey,
  /** What is no trace must not keep its owner from hearing of it. */
  traceparent: JobMessage.shape.traceparent.catch(undefined),
})
export type Envelope = z.infer<typeof Envelope>

/**
 * valid       a job that can be claimed and run
 * refused     not a job this worker understands, but its owner can be told
 * unreadable  nobody can be told; only the dead-letter queue is left
 */
export type ReadMessage =
  | { readonly kind: 'valid'; readonly message: WorkMessage }
  | { readonly kind: 'refused'; readonly envelope: Envelope; readonly problem: string }
  | { readonly kind: 'unreadable'; readonly problem: string }

/**
 * @param body         as it came from the queue, whoever wrote it
 * @param edgeOrigins  whom a message may make us call; undefined: anybody
 */
export function readJobMessage(body: string, edgeOrigins?: readonly string[]): ReadMessage {
  const read = parseBody(body)
  if (read.kind === 'unreadable' || edgeOrigins === undefined) return read
  const { callbackUrl } = read.kind === 'valid' ? read.message : read.envelope
  if (edgeOrigins.includes(callbackUrl)) return read
  return { kind: 'unreadable', problem: `its edge ${callbackUrl} is none of those permitted` }
}

function parseBody(body: string): ReadMessage {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return { kind: 'unreadable', problem: 'the body is not JSON' }
  }
  const message = schemaOf(value).safeParse(value)
  if (message.success) return { kind: 'valid', message: message.data }
  const problem = describe(message.error)
  const envelope = Envelope.safeParse(value)
  return envelope.success ? { kind: 'refused', envelope: envelope.data, problem } : { kind: 'unreadable', problem }
}

/** By its id, so that what is said of a wrong message is about its own kind. */
function schemaOf(value: unknown): z.ZodType<WorkMessage> {
  const id = value !== null && typeof value === 'object' ? Reflect.get(value, 'jobId') : undefined
  return ScoreId.safeParse(id).success ? ScoreMessage : JobMessage
}

function describe(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.') || 'the body'}: ${issue.message}`).join('; ')
}
