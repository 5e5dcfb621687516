import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { BundleManifest } from '../../../shared/bundle.ts'
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
