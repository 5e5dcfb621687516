import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { bundleContracts } from '../models/graph-contract.ts'
import type { Provider } from '../models/providers.ts'
import { openSession } from '../models/session.ts'
import { trialFeeds } from '../models/step-trial.ts'
import { kernelsOfLastRun, type ProfileEvent, readProfile } from './arithmetic.ts'

/** Kernels of one step by the execution provider that ran them, and by operator. */
export type Placement = Readonly<Record<string, Readonly<Record<string, number>>>>

/** Few, so that a slow provider can be looked at as well; placement does not depend on them. */
const ROWS = 2

/**
 * Where onnxruntime ran each kernel of the step graph: an operator that a GPU provider lacks is left to the CPU, and its
 * inputs and outputs are copied there and back.
 */
export async function placementOf(
  manifest: BundleManifest,
  bundleDir: string,
  provider: Provider,
  threads: number,
): Promise<Placement> {
  const { stepGraph, codebookSize } = manifest.generator
  const dir = await mkdtemp(join(tmpdir(), 'parm-placement-'))
  try {
    const profile = join(dir, 'step')
    const session = await openSession(stepGraph, join(bundleDir, stepGraph), provider, threads, { profile })
    try {
      await session.run(trialFeeds(bundleContracts(manifest).step, codebookSize, ROWS))
    } finally {
      await session.release()
    }
    return countPlaces(kernelsOfLastRun(await readProfile(profile)))
  } finally {
    await rm(dir, { recursive: true })
  }
}

export function countPlaces(kernels: readonly ProfileEvent[]): Placement {
  const places: Record<string, Record<string, number>> = {}
  for (const { args } of kernels) {
    const provider = args?.provider ?? 'unknown'
    const op = args?.op_name ?? 'unknown'
    const ofProvider = places[provider] ?? {}
    places[provider] = { ...ofProvider, [op]: (ofProvider[op] ?? 0) + 1 }
  }
  return places
}
