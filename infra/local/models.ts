import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { BundleManifest } from '../../shared/bundle.ts'
import { AppError } from '../../shared/error-code.ts'
import { type ModelCard, modelCard, OperatingPoints } from '../../shared/model-card.ts'

export const BUNDLES_DIR = resolve(import.meta.dirname, '../../gpu-worker/bundles')
export const DEFAULT_BUNDLE = join(BUNDLES_DIR, 'emoji-96')

/**
 * The card of a bundle, from its manifest alone; the worker checks the files behind it.
 * @throws AppError bundle_invalid  naming the file and what is wrong with it
 */
export async function readModelCard(bundleDir: string): Promise<ModelCard> {
  const path = join(bundleDir, 'manifest.json')
  const refuse = (why: string, cause: unknown) => new AppError('bundle_invalid', `${path}: ${why}`, { cause })
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw refuse('cannot be read; expected a bundle directory with a manifest', cause)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw refuse('is not JSON', cause)
  }
  const manifest = BundleManifest.safeParse(value)
  if (manifest.success) return modelCard(manifest.data, await readOperatingPoints(bundleDir))
  const problems = manifest.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw refuse(problems.join('; '), manifest.error)
}

/** What a model takes from a prompt, as far as the edge has to know it. */
export interface Vocabulary {
  /** All that it knows. */
  readonly words: readonly string[]
  /** What it takes as the picture's style wherever it stands, each in one or more of these words. */
  readonly styles: readonly (readonly string[])[]
}

/** @returns undefined for a model that reads any text */
export async function readVocabulary(bundleDir: string): Promise<Vocabulary | undefined> {
  const { prompt } = BundleManifest.parse(JSON.parse(await readFile(join(bundleDir, 'manifest.json'), 'utf8')))
  const { model } = JSON.parse(await readFile(join(bundleDir, prompt.tokenizer), 'utf8'))
  if (model.type !== 'WordLevel') return undefined
  const ids = Object.entries<number>(model.vocab)
  const wordOf = new Map(ids.map(([word, id]) => [id, word]))
  const choices = (prompt.styles ?? []).flatMap(({ tokens }) => tokens)
  return {
    words: ids.map(([word]) => word).filter((word) => /^[\p{L}\p{N}]+$/u.test(word)),
    styles: choices.map((choice) => choice.map((id) => wordOf.get(id) as string)),
  }
}

/**
 * What each `quality` means for the bundle. It lies beside the manifest and not in it: what was measured of a bundle is no part
 * of its revision.
 *
 * @returns undefined where the bundle has none
 * @throws AppError bundle_invalid
 */
async function readOperatingPoints(bundleDir: string): Promise<OperatingPointsOfBundle | undefined> {
  const path = join(bundleDir, 'operating-points.json')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return OperatingPoints.parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError('bundle_invalid', `${path}: ${String(cause)}`, { cause })
  }
}
type OperatingPointsOfBundle = NonNullable<ModelCard['quality']>
