import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodePng } from '../../gpu-worker/src/png.ts'
import type { WorkerEvent } from '../../shared/job-event.ts'
import { FAKE_SIZE } from '../support/fake-engine.ts'
import { refuse } from '../support/scripted-edge.ts'
import { EMPTY, eventually, useStand } from './worker-stand.ts'

const stand = useStand()

/** A picture that the edge has. */
function stored(shade: number, size = FAKE_SIZE): string {
  const png = Buffer.from(encodePng(new Uint8Array(size[0] * size[1] * 3).fill(shade), size[1], size[0]))
  const sha256 = createHash('sha256').update(png).digest('hex')
  stand.edge.images.set(sha256, png)
  return sha256
}

type Scored = Extract<WorkerEvent, { type: 'scored' }>

describe('a request for scores', () => {
  it('is answered item by item: scored, with its warnings, or with what was wrong with it', async () => {
    const refused = { error: { code: 'content_refused', message: 'not here' } } as const
    const job = stand.edge.openScores([
      { prompt: 'a zyzzyva', image: stored(1) },
      refused,
      { prompt: 'a cat', image: 'f'.repeat(64) },
      { prompt: 'a cat', image: stored(2, [8, 8]) },
      { prompt: 'a cat', image: stored(1) },
    ])
    stand.worker()
    stand.send(job)
    const { result } = (await stand.edge.terminal(job)) as Scored
    const answers = { parm: { clarity: 1, potential: 1, alignment: 1 } }
    expect(result).toEqual({
      items: [
        { scores: answers, warnings: ['the model does not know "zyzzyva" and ignores it'] },
        refused,
        { error: { code: 'image_not_found', message: expect.any(String) } },
        { error: { code: 'image_invalid', message: expect.stringContaining('8x8 pixels') } },
        { scores: answers, warnings: [] },
      ],
      cost: { rowSteps: 2, judgeCalls: 2, workMs: 3 },
    })
    expect(job.events.map(({ type }) => type)).toEqual(['started', 'scored'])
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('asks only for what its verifiers answer', async () => {
    const job = stand.edge.openScores([{ prompt: 'a cat', image: stored(1) }])
    const worker = stand.worker()
    Object.assign(worker.model.verifiers.get('parm') as object, { tasks: ['alignment'] })
    stand.send(job)
    const { result } = (await stand.edge.terminal(job)) as Scored
    expect(result.items).toEqual([{ scores: { parm: { alignment: 1 } }, warnings: [] }])
  })

  it('scores no picture by a prompt that the model has not read', async () => {
    const job = stand.edge.openScores([
      { prompt: 'zyzzyva', image: stored(1) },
      { prompt: 'a cat', image: stored(1) },
    ])
    stand.worker()
    stand.send(job)
    const { result } = (await stand.edge.terminal(job)) as Scored
    expect(result.items).toEqual([
      { error: { code: 'prompt_unread', message: expect.stringContaining('no word') } },
      { scores: expect.anything(), warnings: [] },
    ])
  })

  it('asks nobody where nothing can be scored', async () => {
    const job = stand.edge.openScores([{ prompt: 'a cat', image: 'f'.repeat(64) }])
    stand.worker()
    stand.send(job)
    const { result } = (await stand.edge.terminal(job)) as Scored
    expect(result).toMatchObject({ items: [{ error: { code: 'image_not_found' } }], cost: { rowSteps: 0 } })
  })

  it('fails where the verifier does, without its words', async () => {
    const job = stand.edge.openScores([{ prompt: 'a cat', image: stored(1) }])
    const worker = stand.worker()
    Object.assign(worker.model.verifiers.get('parm') as object, {
      judge: () => Promise.reject(new Error('out of memory at 0x1234')),
    })
    stand.send(job)
    const end = await stand.edge.terminal(job)
    expect(end).toEqual({ type: 'failed', error: { code: 'model_failed', message: 'the model failed' } })
    await eventually(() => stand.inQueue(), EMPTY)
  })

  it('for another bundle, or a verifier that this one has not, is refused', async () => {
    const item = { prompt: 'a cat', image: stored(1) }
    const other = stand.edge.openScores([item])
    Object.assign(other.message.parameters, { verifiers: ['parm', 'nobody'] })
    stand.worker()
    stand.send(other)
    expect(await stand.edge.terminal(other)).toMatchObject({
      error: { code: 'bundle_mismatch', message: expect.stringContaining('nobody') },
    })
  })

  it('goes back to the queue where the edge gives it to somebody else meanwhile', async () => {
    const job = stand.edge.openScores([{ prompt: 'a cat', image: stored(1) }])
    const usual = job.onBatch
    job.onBatch = (batch) => (batch.attempt === 1 ? refuse(409, 'attempt_superseded') : usual(batch))
    stand.worker({ visibilitySeconds: 2 })
    stand.send(job)
    await stand.edge.until(() => job.claims >= 2)
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'scored' })
  })
})
