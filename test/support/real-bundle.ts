import { mkdtemp, readdir, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { manifestRevision } from '../../gpu-worker/src/models/bundle-files.ts'
import type { BundleManifest } from '../../shared/bundle.ts'

/** The bundle that the repository embeds. */
export const BUNDLE_DIR = resolve(import.meta.dirname, '../../gpu-worker/bundles/emoji-96')

type Manifest = { -readonly [K in keyof BundleManifest]: BundleManifest[K] }

/** A bundle of links to the real one's files, in which a test may break what it likes. */
export class DamagedBundle {
  readonly dir: string

  private constructor(dir: string) {
    this.dir = dir
  }

  static async create(): Promise<DamagedBundle> {
    const dir = await mkdtemp(join(tmpdir(), 'parm-bundle-'))
    for (const name of await readdir(BUNDLE_DIR)) await symlink(join(BUNDLE_DIR, name), join(dir, name))
    return new DamagedBundle(dir)
  }

  /** Replaces a file by other bytes; the manifest still describes the old ones. */
  async replace(name: string, change: (bytes: Buffer) => Uint8Array): Promise<void> {
    const bytes = await readFile(join(BUNDLE_DIR, name))
    await unlink(join(this.dir, name))
    await writeFile(join(this.dir, name), change(bytes))
  }

  async remove(name: string): Promise<void> {
    await unlink(join(this.dir, name))
  }

  /** Changes the manifest; `revision` follows, unless the change sets it. */
  async editManifest(change: (manifest: Manifest) => void): Promise<void> {
    const manifest = JSON.parse(await readFile(join(this.dir, 'manifest.json'), 'utf8')) as Manifest
    const { revision } = manifest
    change(manifest)
    const text = JSON.stringify(manifest)
    const follows = manifest.revision === revision
    await unlink(join(this.dir, 'manifest.json'))
    await writeFile(
      join(this.dir, 'manifest.json'),
      follows ? text.replace(revision, manifestRevision(text, revision)) : text,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true })
  }
}
