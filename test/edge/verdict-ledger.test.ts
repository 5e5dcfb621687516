import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import type { JobResult } from '../../shared/job.ts'
import { CandidateList, JobImages, VerdictLedger } from '../../shared/job-record.ts'
import { jobCandidatesRoute, jobImagesRoute, jobVerdictsRoute } from '../../shared/routes.ts'
import { call } from './support/api.ts'
import { submit, workerFor } from './support/job.ts'
import { verdict } from './support/scripted-worker.ts'

afterEach(reset)

describe('the lists of a job', () => {
  it('are its candidates as the ledger has them, and its pictures once there are any', async () => {
    const { id } = await submit({ prompt: 'a lamp' })
    const read = async (route: string) => (await call(route)).json()
    expect(JobImages.parse(await read(jobImagesRoute(id))).data).toEqual([])
    const result = await (await workerFor(id)).finish()
    const ledger = VerdictLedger.parse(await read(jobVerdictsRoute(id)))
    expect(CandidateList.parse(await read(jobCandidatesRoute(id))).data).toEqual(ledger.candidates)
    const [image, ...others] = JobImages.parse(await read(jobImagesRoute(id))).data
    expect(others).toEqual([])
    expect(image).toMatchObject({ candidate: result.candidate, sha256: result.image.sha256 })
    expect((await call(new URL(image?.url ?? '').pathname)).status).toBe(200)
    expect((await call(jobImagesRoute(`job_${'0'.repeat(26)}`))).status).toBe(404)
  })
})

async function ledgerOf(id: string): Promise<VerdictLedger> {
  return VerdictLedger.parse(await (await call(`/v1/jobs/${id}/verdicts`)).json())
}

const outcomes = ({ candidates }: VerdictLedger) => candidates.map(({ outcome }) => outcome)

describe('the verdict ledger', () => {
  it('tells of every candidate what was said of it and what became of it, and what decided', async () => {
    const { id } = await submit({ prompt: 'a cup', candidates: 3 })
    const { cost } = await (await workerFor(id)).finish()
    const ledger = await ledgerOf(id)
    expect(ledger).toMatchObject({ jobId: id, status: 'succeeded', strategy: 'parm', accept: 'first', cost })
    expect(outcomes(ledger)).toEqual(['won', 'pruned', 'unstarted'])
    const [winner, pruned, unstarted] = ledger.candidates
    expect(winner?.verdicts.map(({ stepIndex, decision }) => [stepIndex, decision])).toEqual([
      [5, 'keep'],
      [11, 'accept'],
    ])
    expect(pruned).toMatchObject({ stepsDone: 6, verdicts: [{ potential: 0.1, decision: 'prune' }] })
    expect(unstarted).toEqual({ candidate: 2, outcome: 'unstarted', stepsDone: 0, verdicts: [] })
    expect(ledger.choice).toEqual({
      candidate: 0,
      reason: 'accepted',
      alignment: 0.95,
      because: 'It was the first finished candidate to pass (alignment 0.950).',
    })
  })

  it('can be read while the job runs, and has no choice yet', async () => {
    const { id } = await submit({ prompt: 'a cup', candidates: 4 })
    expect(outcomes(await ledgerOf(id))).toEqual(Array(4).fill('waiting'))
    const worker = await workerFor(id)
    await worker.claim()
    await worker.reportOk([
      worker.started(),
      { type: 'candidate', candidate: 0, phase: 'running', stepsDone: 0 },
      { type: 'candidate', candidate: 1, phase: 'pruned', stepsDone: 3 },
      { type: 'candidate', candidate: 2, phase: 'finished', stepsDone: 12 },
    ])
    const ledger = await ledgerOf(id)
    expect(outcomes(ledger)).toEqual(['running', 'pruned', 'finished', 'waiting'])
    expect(ledger.choice).toBeUndefined()
  })

  it.each<[JobResult['reason'], string]>([
    ['best', 'It scored highest of the finished candidates (alignment 0.950); the next had 0.400.'],
    ['only', 'No judge was asked: the baseline draws one candidate.'],
    [
      'fallback',
      'No candidate survived its verdicts; this one had been the least hopeless (potential 0.200) and was finished after all.',
    ],
    ['deadline', 'The time ran out; it was the best there was (alignment 0.950).'],
  ])('says what decided: %s', async (reason, because) => {
    const { id } = await submit({ prompt: 'a cup', candidates: 2 })
    const worker = await workerFor(id)
    await worker.claim()
    const result = await worker.upload()
    await worker.reportOk([
      worker.started(),
      { type: 'candidate', candidate: 0, phase: 'finished', stepsDone: 12 },
      verdict(0, 5, { potential: 0.2, decision: 'keep' }),
      { type: 'candidate', candidate: 1, phase: 'finished', stepsDone: 12 },
      verdict(1, 11, { alignment: 0.4, decision: 'keep' }),
      { type: 'succeeded', result: { ...result, reason } },
    ])
    const ledger = await ledgerOf(id)
    expect(ledger.choice).toMatchObject({ reason, because })
    expect(outcomes(ledger)).toEqual(['won', 'lost'])
  })

  it('tells what decided where the answer was fused with coherence, and how many corrections there were', async () => {
    const { id } = await submit({ prompt: 'a cup', candidates: 2, corrections: 3 })
    const worker = await workerFor(id)
    await worker.claim()
    const result = await worker.upload()
    const fused = { coherence: 0.75, score: 0.875 }
    await worker.reportOk([
      worker.started(),
      verdict(0, 14, { alignment: 0.95, ...fused, decision: 'keep' }),
      verdict(1, 14, { alignment: 0.99, coherence: 0.25, score: 0.5, decision: 'keep' }),
      { type: 'succeeded', result: { ...result, reason: 'best' } },
    ])
    const ledger = await ledgerOf(id)
    expect(ledger).toMatchObject({ steps: 12, corrections: 3 })
    expect(ledger.candidates[0]?.verdicts).toMatchObject([fused])
    expect(ledger.choice?.because).toBe(
      'It scored highest of the finished candidates (alignment 0.950, with coherence 0.875); the next had 0.500.',
    )
  })

  it('of an unknown job is 404', async () => {
    for (const id of ['nonsense', `job_${'0'.repeat(26)}`]) {
      expect((await call(`/v1/jobs/${id}/verdicts`)).status).toBe(404)
    }
  })
})
