import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import type { EngineJob, EngineOutcome, Verifier } from '../engine/ports.ts'
import { pictureSeed } from '../geneval/picture-seed.ts'

export type Success = Extract<EngineOutcome, { status: 'succeeded' }>

/** What the jobs of a benchmark have in common. */
export interface BenchSettings {
  readonly manifest: BundleManifest
  readonly verifier: Verifier
  readonly candidates: number
  readonly steps: number
}

/** One job of the bundle's defaults; the same picture number and prompt always give the same seed. */
export function benchJob(
  { manifest, verifier, candidates, steps }: BenchSettings,
  id: string,
  prompt: string,
  picture: number,
  rules: Pick<EngineJob['parameters'], 'strategy' | 'accept'>,
): EngineJob {
  const seed = pictureSeed(0, prompt, picture)
  const { guidance } = manifest.generator.defaults
  return { id, parameters: { prompt, seed, candidates, steps, guidance, ...rules }, verifier, previews: false }
}

/** @throws the reason of a failed job; a benchmark stops at the first */
export function successOf(outcome: EngineOutcome): Success {
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped')
    throw new AppError('internal', 'a benchmark job was stopped, which nobody asked for')
  return outcome
}
