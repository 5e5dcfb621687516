import { InvariantError } from '../../../shared/error-code.ts'
import { createEngine } from '../engine/engine.ts'
import type { Engine, Generator, Verifier } from '../engine/ports.ts'
import { type Bundle, openBundle } from '../models/bundle-loader.ts'
import type { BundleDetector } from '../models/detector.ts'
import type { EngineSettings } from './engine-settings.ts'

/** An engine without a server around it. */
export interface LocalEngine {
  readonly engine: Engine
  /** Waits for the running tick, then frees the models. */
  close(): Promise<void>
}

/** @param onRows  called after each tick with the row-steps it took */
export function startEngine(bundle: Bundle, slots: number, onRows: (count: number) => void = () => {}): LocalEngine {
  const engine = createEngine({ generator: counted(bundle.generator, onRows), clock: performance, slots })
  const stopping = new AbortController()
  // A broken engine has failed every job with the reason, so its end is already known when this rejects.
  const running = engine.run(stopping.signal).catch(() => {})
  return {
    engine,
    async close() {
      stopping.abort()
      await running
      await bundle.close()
    },
  }
}

export async function openBundleFor(settings: EngineSettings): Promise<Bundle> {
  const bundle = await openBundle(settings.bundleDir, settings)
  for (const reason of bundle.refusedProviders) console.error(`provider not used: ${reason}`)
  return bundle
}

/** @param name  from `chooseVerifier` for the same bundle */
export function verifierNamed(bundle: Bundle, name: string): Verifier {
  const verifier = bundle.verifiers.get(name)
  if (verifier === undefined) throw new InvariantError(`verifier ${name} is in the manifest and was not opened`)
  return verifier
}

/** Only for a bundle whose manifest has a detector. */
export function detectorOf(bundle: Bundle): BundleDetector {
  if (bundle.detector === undefined) throw new InvariantError('the detector is in the manifest and was not opened')
  return bundle.detector
}

function counted(generator: Generator, onRows: (count: number) => void): Generator {
  return {
    tokenCount: generator.tokenCount,
    codebookSize: generator.codebookSize,
    imageSize: generator.imageSize,
    temperature: generator.temperature,
    guidedShare: generator.guidedShare,
    corrections: generator.corrections,
    coherence: generator.coherence,
    read: (prompt) => generator.read(prompt),
    prepare: (prompt) => generator.prepare(prompt),
    release: (prompt) => generator.release(prompt),
    decode: (codes) => generator.decode(codes),
    async step(rows) {
      const outputs = await generator.step(rows)
      onRows(rows.length)
      return outputs
    },
  }
}
