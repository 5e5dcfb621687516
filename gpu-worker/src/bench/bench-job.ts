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
  /** Default: the bundle's. */
  readonly corrections?: number | undefined
}

/** A short run takes its few steps and nothing else; any other is as long as the bundle's paths are. */
export function pathLengthOf(
  { steps }: { readonly steps: number | undefined },
  { generator }: BundleManifest,
): { steps: number; corrections: number } {
  const { defaults, corrections } = generator
  return steps === undefined
    ? { steps: defaults.steps, corrections: corrections?.steps ?? 0 }
    : { steps, corrections: 0 }
}

/** One job of the bundle's defaults; the same picture number and prompt always give the same seed. */
export function benchJob(
  { manifest, verifier, candidates, steps, corrections }: BenchSettings,
  id: string,
  prompt: string,
  picture: number,
  rules: Pick<EngineJob['parameters'], 'strategy' | 'accept'>,
): EngineJob {
  const seed = pictureSeed(0, prompt, picture)
  const { guidance } = manifest.generator.defaults
  const length = { steps, ...(corrections === undefined ? {} : { corrections }) }
  return { id, parameters: { prompt, seed, candidates, ...length, guidance, ...rules }, verifier, previews: false }
}

/** @throws the reason of a failed job; a benchmark stops at the first */
export function successOf(outcome: EngineOutcome): Success {
  if (outcome.status === 'failed') throw outcome.error
  if (outcome.status === 'stopped')
    throw new AppError('internal', 'a benchmark job was stopped, which nobody asked for')
  return outcome
}
