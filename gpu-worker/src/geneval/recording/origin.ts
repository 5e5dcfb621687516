import { z } from 'zod'
import { type BundleManifest, Corrections } from '../../../../shared/bundle.ts'
import { AppError } from '../../../../shared/error-code.ts'
import { Sha256Hex } from '../../../../shared/job.ts'
import { parseJson, readIfThere, writeWhole } from '../kill-safe-files.ts'
import { recordingPaths } from './recording.ts'

/** Of the bundle's settings, as far as git answers for its folder. */
const SettingsCommit = z.strictObject({
  /** The last one that touched them, 40 hex digits. */
  commit: z.string(),
  /** When it was made, ISO 8601. */
  date: z.string(),
  /** Whether the files are as that commit has them. */
  isClean: z.boolean(),
})
export type SettingsCommit = z.infer<typeof SettingsCommit>

/** What how corrections are made is decided by, beside their number. */
const Correcting = Corrections.omit({ steps: true })

/** How a recording began: written before its first picture is sampled, and never changed. */
const Origin = z.strictObject({
  /** ISO 8601, UTC. */
  begun: z.iso.datetime(),
  /** Of the bundle; it covers every setting of the manifest. */
  revision: Sha256Hex,
  /** Null where git does not answer for the bundle's folder, or no commit has it. */
  settings: SettingsCommit.nullable(),
  /** Null for a generator that makes none. */
  correcting: Correcting.nullable(),
})
export type Origin = z.infer<typeof Origin>

/** @returns undefined where the recording does not say */
export async function readOrigin(dir: string): Promise<Origin | undefined> {
  const { origin: path } = recordingPaths(dir)
  const text = await readIfThere(path)
  return text === undefined ? undefined : parseJson(text, Origin, path)
}

/** @param dir  of a recording in which nothing is sampled yet */
export async function writeOrigin(dir: string, origin: Origin): Promise<void> {
  await writeWhole(recordingPaths(dir).origin, `${JSON.stringify(origin, null, 2)}\n`)
}

export function correctingOf({ corrections }: BundleManifest['generator']): Origin['correcting'] {
  if (corrections === undefined) return null
  const { steps: _, ...correcting } = corrections
  return correcting
}

/**
 * @param dir  of the recording, whose corrections were made as `origin` says
 * @throws AppError `invalid_request`  naming what differs, when the bundle makes its corrections otherwise
 */
export function checkCorrecting(dir: string, origin: Origin | undefined, generator: BundleManifest['generator']): void {
  if (origin === undefined) return
  const [recorded, own] = [origin.correcting, correctingOf(generator)]
  const differences = (['share', 'scoring', 'throughout'] as const)
    .filter((key) => recorded?.[key] !== own?.[key])
    .map((key) => `${key} ${recorded?.[key] ?? 'none'}, and has ${own?.[key] ?? 'none'} now`)
  if (differences.length === 0) return
  const message = `${dir} was recorded when the bundle made its corrections with ${differences.join('; ')}; record again into another folder`
  throw new AppError('invalid_request', message)
}
