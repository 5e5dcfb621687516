import type { JobRequest } from '../../../edge/client/client.ts'
import { jobObjectName } from '../../../edge/job-id.ts'
import type { Job } from '../../../edge/objects/job.ts'
import type { JobRecord } from '../../../shared/job-record.ts'
import { bindings, client } from './api.ts'
import { receiveMessage, ScriptedWorker } from './scripted-worker.ts'

export const submit = (body: JobRequest): Promise<JobRecord> => client.jobs.create(body)
export const look = (id: string): Promise<JobRecord> => client.jobs.get(id)
export const cancel = (id: string): Promise<JobRecord> => client.jobs.cancel(id)

/** A worker holding the message of `id`, which has claimed nothing yet. */
export async function workerFor(id: string): Promise<ScriptedWorker> {
  return new ScriptedWorker(await receiveMessage(id))
}

export function jobObject(id: string): DurableObjectStub<Job> {
  return bindings.JOB.getByName(jobObjectName(id))
}
