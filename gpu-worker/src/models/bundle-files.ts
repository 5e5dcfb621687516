import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { BundleManifest } from '../../../shared/bundle.ts'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { AppError } from '../../../shared/error-code.ts'

/** In a bundle's folder; every setting of the bundle is in it. */
export const MANIFEST_FILE = 'manifest.json'

/**
 * Reads and checks a bundle's manifest, its revision included; touches no other file, so that a model card can be made
 * without loading models.
 *
 * @throws AppError `bundle_invalid`  naming the file, or the field and what it must be
 */
export async function readManifest(dir: string): Promise<BundleManifest> {
  const path = join(dir, MANIFEST_FILE)
  const text = await readFile(path, 'utf8').then(withoutByteOrderMark, (cause: unknown) => {
    throw new AppError('bundle_invalid', `no bundle at ${dir}: cannot read manifest.json (${reason(cause)})`, { cause })
  })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new AppError('bundle_invalid', `${path} is not JSON: ${reason(cause)}`, { cause })
  }
  const parsed = BundleManifest.safeParse(json)
  if (parsed.success) {
    checkRevision(text, parsed.data.revision)
    return parsed.data
  }
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'manifest'}: ${issue.message}`)
  throw new AppError('bundle_invalid', `${path} is not a bundle manifest: ${problems.join('; ')}`)
}

/**
 * Checks that every listed file is there, whole and unaltered. They are hashed as streams: a bundle may hold gigabytes.
 *
 * @throws AppError `bundle_invalid`  naming the first wrong file, what was expected and what was found
 */
export async function checkFiles(dir: string, manifest: BundleManifest): Promise<void> {
  for (const [name, expected] of Object.entries(manifest.files)) await checkFile(join(dir, name), name, expected)
}

async function checkFile(path: string, name: string, expected: { sha256: string; bytes: number }): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new AppError('bundle_invalid', `bundle file ${name} is missing (${reason(cause)})`, { cause })
  })
  if (found.size !== expected.bytes) {
    throw new AppError('bundle_invalid', `bundle file ${name} has ${found.size} bytes, expected ${expected.bytes}`)
  }
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  const sha256 = hash.digest('hex')
  if (sha256 !== expected.sha256) {
    throw new AppError(
      'bundle_invalid',
      `bundle file ${name} was altered: sha256 ${sha256}, expected ${expected.sha256}`,
    )
  }
}

/**
 * The revision that a manifest of this text must state: SHA-256 of the text with zeros for the stated one. So it covers the
 * hash of every file, and with them thresholds, judged steps and defaults, which decide the picture as much as weights do.
 *
 * @param stated  the 64 digits that the text has now
 * @returns       64 lower-case hexadecimal digits
 */
export function manifestRevision(text: string, stated: string): string {
  return createHash('sha256')
    .update(text.replace(stated, '0'.repeat(stated.length)))
    .digest('hex')
}

function checkRevision(text: string, stated: string): void {
  const revision = manifestRevision(text, stated)
  if (revision === stated) return
  throw new AppError(
    'bundle_invalid',
    `manifest.json was altered: revision is ${stated}, but what it says adds up to ${revision}; export the bundle again`,
  )
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
