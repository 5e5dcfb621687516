import { AppError } from '../shared/error-code.ts'
import type { JobSnapshot, WebhookMessage } from '../shared/job-record.ts'
import { imageRoute, jobRoute } from '../shared/routes.ts'
import { signWebhook } from './webhook-signature.ts'
import { webhookTargetProblem } from './webhook-target.ts'

const TIMEOUT_MS = 15_000

/** taken: never again. refused: the target wants no more of it (410). */
export type WebhookOutcome = 'taken' | 'refused'

/**
 * The message about a job's end. Without the verdicts, which may be long; they are at the job's own address.
 *
 * @param origin  of the edge
 */
export function webhookMessage(snapshot: JobSnapshot, origin: string): WebhookMessage {
  const { id, status, cache, labels, createdAt, finishedAt = createdAt, result, error } = snapshot
  return {
    type: `job.${status}`,
    timestamp: new Date(finishedAt).toISOString(),
    data: {
      id,
      status,
      cache,
      ...(labels ? { labels } : {}),
      createdAt,
      finishedAt,
      jobUrl: origin + jobRoute(id),
      ...(result ? { result, imageUrl: origin + imageRoute(result.image) } : {}),
      ...(error ? { error } : {}),
    },
  }
}

/**
 * Delivers one message once. The id is the job's, so that a receiver knows a message it has had.
 *
 * @throws AppError `service_unavailable` when it was not taken and may be tried again
 */
export async function sendWebhook(
  target: string,
  message: WebhookMessage,
  { secret, tenant }: { secret: string; tenant: string },
): Promise<WebhookOutcome> {
  // Checked when it was accepted, too; what is permitted may have become less since.
  if (webhookTargetProblem(target)) return 'refused'
  const body = JSON.stringify(message)
  const signature = await signWebhook(secret, tenant, `msg_${message.data.id}`, Math.floor(Date.now() / 1000), body)
  // Not AbortSignal.timeout: its timer cannot be stopped and would keep the job's object awake after a quick answer.
  const timeout = new AbortController()
  const timer = setTimeout(() => timeout.abort(), TIMEOUT_MS)
  try {
    const response = await fetch(target, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'parm-edge', ...signature },
      body,
      redirect: 'manual',
      signal: timeout.signal,
    })
    // Unread, it would hold one of the few connections an object may have.
    await response.body?.cancel()
    if (response.ok) return 'taken'
    if (response.status === 410) return 'refused'
    throw new AppError('service_unavailable', `the webhook's target answered ${response.status}`)
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw new AppError('service_unavailable', "the webhook's target cannot be reached", { cause })
  } finally {
    clearTimeout(timer)
  }
}
