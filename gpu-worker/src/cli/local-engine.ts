import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { InvariantError } from '../../../shared/error-code.ts'
import { createEngine } from '../engine/engine.ts'
import type { Engine, Generator, Verifier } from '../engine/ports.ts'
import { type Bundle, openBundle } from '../models/bundle-loader.ts'
import type { BundleDetector } from '../models/detector.ts'
import { PROVIDERS, type Provider } from '../models/providers.ts'
import { type Arguments, RESOURCE_RANGE, UsageError } from './arguments.ts'

export const ENGINE_FLAGS = ['bundle', 'slots', 'threads', 'provider'] as const
export const ENGINE_HELP = `  --bundle DIR         bundle to use (the embedded emoji-96)
  --slots N            candidates that run at the same time (8)
  --threads N          threads of a graph run (all cores)
  --provider LIST      execution providers in order of preference: ${PROVIDERS.join(', ')} (cpu)`

const DEFAULT_BUNDLE = fileURLToPath(new URL('../../bundles/emoji-96', import.meta.url))
const DEFAULT_SLOTS = 8

export interface EngineSettings {
  readonly bundleDir: string
  readonly slots: number
  readonly threads: number
  readonly providers: readonly Provider[]
}

export function readEngineSettings(parsed: Arguments): EngineSettings {
  return {
    bundleDir: parsed.text('bundle') ?? DEFAULT_BUNDLE,
    slots: parsed.integer('slots', RESOURCE_RANGE, DEFAULT_SLOTS),
    threads: parsed.integer('threads', RESOURCE_RANGE, availableParallelism()),
    providers: parsed.choices('provider', PROVIDERS, ['cpu']),
  }
}

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

/**
 * Checked against the manifest, so that a wrong name is refused before any model is loaded.
 *
 * @throws UsageError  naming the bundle's verifiers
 */
export function chooseVerifier(manifest: BundleManifest, name: string | undefined): string {
  const chosen = name ?? manifest.defaultVerifier
  if (Object.hasOwn(manifest.verifiers, chosen)) return chosen
  throw new UsageError(`--verifier: expected ${Object.keys(manifest.verifiers).join(', ')}, got "${chosen}"`)
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
