import { jobObjectName } from '../../../edge/job-id.ts'
import type { Job } from '../../../edge/objects/job.ts'
import { JobRecord } from '../../../shared/job-record.ts'
import { bindings, call, postJson } from './api.ts'
import { receiveMessage, ScriptedWorker } from './scripted-worker.ts'

export async function submit(body: object): Promise<JobRecord> {
  const response = await postJson('/v1/jobs', body)
  if (!response.ok) throw new Error(`POST /v1/jobs: ${response.status} ${await response.text()}`)
  return JobRecord.parse(await response.json())
}

export async function look(id: string): Promise<JobRecord> {
  const response = await call(`/v1/jobs/${id}`)
  if (!response.ok) throw new Error(`GET /v1/jobs/${id}: ${response.status} ${await response.text()}`)
  return JobRecord.parse(await response.json())
}

export async function cancel(id: string): Promise<JobRecord> {
  const response = await call(`/v1/jobs/${id}`, { method: 'DELETE' })
  if (!response.ok) throw new Error(`DELETE /v1/jobs/${id}: ${response.status} ${await response.text()}`)
  return JobRecord.parse(await response.json())
}

/** A worker holding the message of `id`, which has claimed nothing yet. */
export async function workerFor(id: string): Promise<ScriptedWorker> {
  return new ScriptedWorker(await receiveMessage(id))
}

export function jobObject(id: string): DurableObjectStub<Job> {
  return bindings.JOB.getByName(jobObjectName(id))
}
