import { type Context, Hono } from 'hono'
import { AppError } from '../../shared/error-code.ts'
import { LIMITS } from '../../shared/limits.ts'
import { ATTEMPT_PARAMETER, ClaimRequest, EventBatch } from '../../shared/worker-protocol.ts'
import type { AppEnv } from '../app-env.ts'
import { requireSignedBody, verifyCallback } from '../callback-signature.ts'
import { parseEnv } from '../env.ts'
import { invalidRequest } from '../field-problems.ts'
import { jobObjectName } from '../job-id.ts'
import { CONTROL } from '../objects/control-line.ts'
import { decode, parseJson, readBytes } from '../request-body.ts'
import { requirePermitted } from '../taken-down.ts'
import { findPicture } from '../uploads.ts'

/** `/internal/v1`: what workers call, every call signed with its job's own key. See shared/worker-protocol.ts. */
export const internal = new Hono<AppEnv>()

const CLAIM_BODY_BYTES = 4096

internal.post('/jobs/:id/claim', async (c) => {
  const { id, bytes } = await signedForJob(c, CLAIM_BODY_BYTES)
  const request = parseJson(decode(bytes), ClaimRequest)
  const reply = await c.env.JOB.getByName(jobObjectName(id)).claim(id, request)
  if (!reply) throw notFound(id)
  return c.json(reply)
})

internal.post('/jobs/:id/events', async (c) => {
  const { id, bytes } = await signedForJob(c, LIMITS.eventBatchBytes)
  const batch = parseJson(decode(bytes), EventBatch)
  await requireStoredImage(c, batch)
  const report = await c.env.JOB.getByName(jobObjectName(id)).report(id, batch)
  switch (report.outcome) {
    case 'taken':
      return c.json(report.reply)
    case 'refused':
      throw new AppError(report.code, report.message)
    case 'unknown':
      throw notFound(id)
    default: {
      const never: never = report
      throw never
    }
  }
})

internal.get('/jobs/:id/control', async (c) => {
  const { id } = await signedForJob(c, 0)
  requireUpgrade(c.req.raw.headers)
  const query = new URLSearchParams({ id, [CONTROL]: '' })
  const { webSocket } = await c.env.JOB.getByName(jobObjectName(id)).fetch(`https://job/?${query}`, {
    headers: { upgrade: 'websocket' },
  })
  if (!webSocket) throw notFound(id)
  return new Response(null, { status: 101, webSocket })
})

internal.put('/images/:sha256', async (c) => {
  const signed = await verifyCallback(c.req.raw, parseEnv(c.env).callbackSecret)
  c.set('jobId', signed.jobId)
  const sha256 = c.req.param('sha256')
  if (signed.bodySha256 !== sha256) {
    const problem = 'is not the SHA-256 of the body'
    throw invalidRequest([{ field: 'sha256', problem, permitted: 'the lower-case hex SHA-256 of the bytes sent' }])
  }
  // Before anything is read: a job's key is good for its pictures, not for a place to keep things.
  await requireAdmission(c, signed.jobId, sha256)
  const bytes = await readBytes(c.req.raw, LIMITS.imageBytes)
  await requireSignedBody(signed, bytes)
  if (!isPng(bytes)) {
    throw invalidRequest([{ field: '', problem: 'is not a PNG file', permitted: 'the bytes of one PNG image' }])
  }
  const stored = await c.env.IMAGES.head(sha256)
  requirePermitted(stored)
  if (stored) return c.json({ sha256 }, 200)
  await c.env.IMAGES.put(sha256, bytes, { sha256, httpMetadata: { contentType: 'image/png' } })
  return c.json({ sha256 }, 201)
})

internal.get('/images/:sha256', async (c) => {
  const { jobId: signer } = await verifyCallback(c.req.raw, parseEnv(c.env).callbackSecret)
  c.set('jobId', signer)
  const sha256 = c.req.param('sha256')
  // A job's key opens the pictures that the job is about, and no other caller's.
  const isAsked = await c.env.JOB.getByName(jobObjectName(signer)).scoresImage(signer, sha256)
  const stored = isAsked ? await findPicture(c.env.IMAGES, sha256) : undefined
  if (!stored) throw new AppError('image_not_found', `There is no image ${sha256.slice(0, 64)} to score`)
  return c.body(stored.body)
})

/** @returns the job id of the path and the body, once the signature was found to cover both */
async function signedForJob(c: Context<AppEnv>, maxBytes: number): Promise<{ id: string; bytes: Uint8Array }> {
  const signed = await verifyCallback(c.req.raw, parseEnv(c.env).callbackSecret)
  const id = c.req.param('id') ?? ''
  if (signed.jobId !== id)
    throw new AppError('signature_invalid', 'The call is signed for another job than the one in its path')
  c.set('jobId', id)
  const bytes = await readBytes(c.req.raw, maxBytes)
  await requireSignedBody(signed, bytes)
  return { id, bytes }
}

/** Of the live attempt, and no other picture than the first that it stored. */
async function requireAdmission(c: Context<AppEnv>, jobId: string, sha256: string): Promise<void> {
  const attempt = c.req.query(ATTEMPT_PARAMETER) ?? ''
  if (!/^[1-9]\d{0,8}$/.test(attempt)) {
    const problem = attempt === '' ? 'is missing' : `is ${JSON.stringify(attempt.slice(0, 40))}`
    throw invalidRequest([{ field: ATTEMPT_PARAMETER, problem, permitted: 'the number of the attempt that stores it' }])
  }
  const admission = await c.env.JOB.getByName(jobObjectName(jobId)).admitPicture(jobId, Number(attempt), sha256)
  switch (admission.outcome) {
    case 'admitted':
      return
    case 'refused':
      throw new AppError(admission.code, admission.message)
    case 'unknown':
      throw notFound(jobId)
    default: {
      const never: never = admission
      throw never
    }
  }
}

/** A job must not succeed with a picture that nobody can fetch. */
async function requireStoredImage(c: Context<AppEnv>, { events }: EventBatch): Promise<void> {
  for (const [index, event] of events.entries()) {
    if (event.type !== 'succeeded') continue
    const { sha256, bytes } = event.result.image
    const stored = await c.env.IMAGES.head(sha256)
    if (stored?.size === bytes) continue
    throw invalidRequest([
      {
        field: `events.${index}.result.image`,
        problem: stored ? `has ${bytes} bytes, but ${stored.size} are stored` : 'is not stored here',
        permitted: 'an image that was uploaded before, PUT /internal/v1/images/:sha256',
      },
    ])
  }
}

function requireUpgrade(headers: Headers): void {
  if (headers.get('upgrade')?.toLowerCase() === 'websocket') return
  throw invalidRequest([
    { field: 'Upgrade', problem: 'is missing', permitted: '"websocket": this is no other address' },
  ])
}

/** Signature and a whole IHDR chunk; what follows is the worker's business. */
function isPng(bytes: Uint8Array): boolean {
  const start = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]
  return bytes.length > 33 && start.every((byte, index) => bytes[index] === byte)
}

function notFound(id: string): AppError {
  return new AppError('job_not_found', `There is no job ${id}`)
}
