import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readManifest } from '../../../gpu-worker/src/models/bundle-files.ts'
import { openSession } from '../../../gpu-worker/src/models/session.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

describe('a session', () => {
  it('names the graph and the shapes it was given when a run fails, but not the data', async () => {
    const { decodeGraph } = (await readManifest(BUNDLE_DIR)).generator
    const session = await openSession(decodeGraph, join(BUNDLE_DIR, decodeGraph), 'cpu', 1)
    const run = session.run({ ids: { type: 'int64', data: new BigInt64Array(6).fill(4321n), dims: [2, 3] } })
    const error = await run.catch((reason: Error) => reason)
    await session.release()
    expect(error).toMatchObject({ code: 'model_failed' })
    expect(String(error)).toContain(`graph ${decodeGraph} failed on ids int64 [2, 3]`)
    expect(String(error)).not.toContain('4321')
  })
})
