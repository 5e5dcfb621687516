import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BundleManifest } from '../../../../shared/bundle.ts'
import { InvariantError } from '../../../../shared/error-code.ts'

/**
 * SHA-256 that tells whether two bundles have the same generator, whatever detector and verifiers they have.
 *
 * @param dir  the bundle's folder
 */
export async function generatorIdentity(dir: string, manifest: BundleManifest): Promise<string> {
  const { generator, prompt } = manifest
  const { prefixGraph, stepGraph, decodeGraph, imageSize, grid, codebookSize, defaults, corrections } = generator
  // Steps, corrections and guidance are a recording's own; of the defaults the others cannot be asked for otherwise.
  const { temperature, guidedShare } = defaults
  const { steps: _steps, ...correcting } = corrections ?? {}
  const settings = { imageSize, grid, codebookSize, temperature, guidedShare, correcting }
  const { examples: _, tokenizer, ...wording } = prompt
  return identityOf(dir, manifest, [prefixGraph, stepGraph, decodeGraph, tokenizer], { settings, wording })
}

/** The same for the detector and what else judges pictures: thresholds decide what a label is. Only for a bundle that has one. */
export async function detectorIdentity(dir: string, manifest: BundleManifest): Promise<string> {
  if (manifest.detector === undefined) throw new InvariantError('a bundle without detector was asked for its identity')
  const { graph, ...settings } = manifest.detector
  // The matcher shows drawings by the decoder, which is the generator's and stands in its identity.
  const files = settings.strict === undefined ? [graph] : [graph, settings.strict.drawings]
  return identityOf(dir, manifest, files, settings)
}

/** The same for a verifier of the bundle; its own thresholds and judged steps do not change what it answers. */
export async function verifierIdentity(dir: string, manifest: BundleManifest, name: string): Promise<string> {
  const entry = manifest.verifiers[name]
  if (entry === undefined) throw new InvariantError(`the bundle has no verifier ${name}`)
  return identityOf(dir, manifest, [entry.graph], entry.tasks)
}

async function identityOf(
  dir: string,
  manifest: BundleManifest,
  files: readonly string[],
  settings: unknown,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(settings))
  for (const file of files) {
    const content = await readFile(join(dir, file))
    // A graph may keep weights in files beside it, which it names.
    const named = Object.keys(manifest.files).filter((name) => name !== file && content.includes(name))
    for (const name of [file, ...named.sort()]) hash.update(`\n${manifest.files[name]?.sha256}`)
  }
  return hash.digest('hex')
}
