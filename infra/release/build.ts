import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { AppError } from '../../shared/error-code.ts'

const IMAGE = 'parm-edge-worker'
/** A CUDA image is gigabytes to fetch. */
const BUILD_TIMEOUT_MS = 60 * 60_000
const OUTPUT_BYTES = 64 * 1024 * 1024

/**
 * Runs a program and gives back what it printed.
 *
 * @throws AppError config_invalid  where it is missing or fails, with its last words
 */
export async function runProgram(root: string, program: string, args: readonly string[]): Promise<string> {
  try {
    const options = {
      cwd: root,
      timeout: BUILD_TIMEOUT_MS,
      maxBuffer: OUTPUT_BYTES,
      env: { ...process.env, NO_COLOR: '1' },
    }
    return (await promisify(execFile)(program, args, options)).stdout.trim()
  } catch (cause) {
    const { code, stderr = '' } = cause as { code?: unknown; stderr?: string }
    const words = stderr.trim().split('\n').slice(-5).join('\n') || `ended with ${code}`
    throw new AppError('config_invalid', `${program} ${args[0]}: ${words}`, { cause })
  }
}

/** The commit that is built; what is not in one cannot be built again. */
export async function cleanCommit(root: string): Promise<string> {
  const changed = await runProgram(root, 'git', ['status', '--porcelain'])
  if (changed !== '') {
    throw new AppError('config_invalid', `commit or remove first what would be in no commit:\n${changed}`)
  }
  return runProgram(root, 'git', ['rev-parse', 'HEAD'])
}

export interface BuiltWorker {
  /** esbuild's account of what is in it. */
  readonly metafile: string
  readonly gzipBytes: number
}

/** The Worker as `wrangler deploy` would upload it; variables and bindings are wrangler.toml's at the time of deploying. */
export async function buildWorker(root: string, outDir: string): Promise<BuiltWorker> {
  const wrangler = join(root, 'node_modules/wrangler/bin/wrangler.js')
  const metafile = join(outDir, 'bundle-meta.json')
  const args = ['deploy', '--dry-run', '--env', 'production', '--outdir', outDir, '--metafile', metafile]
  await runProgram(root, process.execPath, [wrangler, ...args])
  // wrangler's own note on where the files came from, with this machine's path.
  rmSync(join(outDir, 'README.md'), { force: true })
  return { metafile, gzipBytes: gzipSync(readFileSync(join(outDir, 'index.js'))).byteLength }
}

export interface BuiltContainer {
  readonly image: string
  /** `sha256:…` of its configuration. */
  readonly id: string
}

/** The worker's image; its tag names version and commit, because a registry's tags do not move. */
export async function buildContainer(root: string, version: string, commit: string): Promise<BuiltContainer> {
  const image = `${IMAGE}:${version}-${commit.slice(0, 7)}`
  const labels = { version, revision: commit, licenses: 'Apache-2.0' }
  await runProgram(root, 'docker', [
    'build',
    ...['-f', 'gpu-worker/Dockerfile', '-t', image],
    ...Object.entries(labels).flatMap(([name, value]) => ['--label', `org.opencontainers.image.${name}=${value}`]),
    '.',
  ])
  return { image, id: await runProgram(root, 'docker', ['image', 'inspect', '--format', '{{.Id}}', image]) }
}

/** Base images of the Dockerfile, as it pins them. */
export function baseImages(root: string): string[] {
  const text = readFileSync(join(root, 'gpu-worker/Dockerfile'), 'utf8')
  return [...text.matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image)
}

/** SHA-256 of every file below a folder, by its path in it. */
export function hashesOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  return Object.fromEntries(
    files.map((file) => [relative(folder, file), createHash('sha256').update(readFileSync(file)).digest('hex')]),
  )
}
