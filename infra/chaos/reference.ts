import { createHash } from 'node:crypto'
import { createEngine } from '../../gpu-worker/src/engine/engine.ts'
import { openBundle } from '../../gpu-worker/src/models/bundle-loader.ts'
import { encodePng } from '../../gpu-worker/src/png.ts'
import type { JobParameters } from '../../shared/job.ts'

export interface Reference {
  /** SHA-256 of the picture that a job with these parameters ends with when nobody disturbs it. */
  imageOf(parameters: JobParameters): Promise<string>
  close(): Promise<void>
}

/** The same bundle in this process, without queue, edge or faults. */
export async function openReference(bundleDir: string): Promise<Reference> {
  const bundle = await openBundle(bundleDir, { threads: 1 })
  const { generator, verifiers } = bundle
  const engine = createEngine({ generator, clock: performance, slots: 32 })
  const over = new AbortController()
  const run = engine.run(over.signal)
  let count = 0
  return {
    async imageOf(parameters) {
      const verifier = verifiers.get(parameters.verifier)
      if (verifier === undefined) throw new Error(`no verifier ${parameters.verifier}`)
      const job = { id: `reference-${++count}`, parameters, verifier, previews: false }
      const outcome = await engine.submit(job, () => undefined).outcome
      if (outcome.status !== 'succeeded') throw new Error('the reference did not succeed', { cause: outcome })
      const [height, width] = generator.imageSize
      return createHash('sha256')
        .update(encodePng(outcome.pixels, width, height))
        .digest('hex')
    },
    async close() {
      over.abort()
      await run
      await bundle.close()
    },
  }
}
