import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { BUNDLES_DIR } from './local/models.ts'
import { baseImages, buildContainer, buildWorker, cleanCommit, hashesOf, runProgram } from './release/build.ts'
import { changesOf, closeSection } from './release/changelog.ts'
import { checkLicences, containerPackages, licenceReport, workerPackages } from './release/licences.ts'

const USAGE = `npm run release -- cut VERSION
npm run release -- build [--out DIR] [--no-container]

  cut    dates the open section of CHANGELOG.md as VERSION, begins the next one, and sets the version of package.json; commit that
  build  builds what package.json's version names from the commit at hand: the Worker, the worker's container, the changes and the
         licences of all that is shipped, to DIR (out/release/VERSION). The last line is one JSON object
  --no-container  leaves the container out, where there is no Docker`

const ROOT = resolve(import.meta.dirname, '..')
const CHANGELOG = join(ROOT, 'CHANGELOG.md')

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: 'string' }, 'no-container': { type: 'boolean' }, help: { type: 'boolean' } },
  })
  const [command, version, ...more] = positionals
  if (values.help || command === undefined) {
    console.log(USAGE)
    return values.help ? 0 : 2
  }
  if (command === 'cut' && version !== undefined && more.length === 0) return cut(version)
  if (command === 'build' && version === undefined) return build(values.out, values['no-container'] !== true)
  throw new AppError(
    'config_invalid',
    `expected "cut VERSION" or "build", got ${JSON.stringify(positionals.join(' '))}`,
  )
}

async function cut(version: string): Promise<number> {
  if (!/^\d+\.\d+\.\d+$/.test(version)) {
    throw new AppError('config_invalid', `VERSION: expected three numbers, 1.2.3, got ${JSON.stringify(version)}`)
  }
  const closed = closeSection(readFileSync(CHANGELOG, 'utf8'), version, new Date().toISOString().slice(0, 10))
  await runProgram(ROOT, 'npm', ['version', version, '--no-git-tag-version', '--allow-same-version'])
  writeFileSync(CHANGELOG, closed)
  console.log(`CHANGELOG.md and package.json name ${version} now. Next:`)
  console.log(`git commit -am "Release ${version}" && git tag v${version} && npm run release -- build`)
  return 0
}

async function build(out: string | undefined, withContainer: boolean): Promise<number> {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  const changes = changesOf(readFileSync(CHANGELOG, 'utf8'), version)
  const commit = await cleanCommit(ROOT)
  const folder = resolve(out ?? join('out/release', version))
  // What an earlier build left there is not of this commit.
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'worker'), { recursive: true })
  const worker = await buildWorker(ROOT, join(folder, 'worker'))
  const bundles = shippedBundles()
  const material = {
    worker: workerPackages(ROOT, worker.metafile),
    container: containerPackages(ROOT),
    images: baseImages(ROOT),
    bundles,
  }
  checkLicences([...material.worker, ...material.container])
  writeFileSync(join(folder, 'LICENCES.md'), licenceReport(ROOT, material))
  writeFileSync(join(folder, 'CHANGES.md'), `# ${version}\n\n${changes}\n`)
  const container = withContainer ? await buildContainer(ROOT, version, commit) : undefined
  const release = {
    version,
    commit,
    worker: { gzipBytes: worker.gzipBytes },
    ...(container && { container }),
    bundles: bundles.map(({ id, revision }) => ({ id, revision })),
    files: hashesOf(folder),
  }
  writeFileSync(join(folder, 'release.json'), `${JSON.stringify(release, null, 2)}\n`)
  console.error(`release: ${folder}`)
  const { files, ...summary } = release
  console.log(JSON.stringify({ ...summary, files: Object.keys(files).length + 1 }))
  return 0
}

/** The bundle that the Dockerfile takes unless it is told another. */
function shippedBundles(): { id: string; revision: string; license: string }[] {
  const [, name = ''] = readFileSync(join(ROOT, 'gpu-worker/Dockerfile'), 'utf8').match(/^ARG BUNDLE=(\S+)$/m) ?? []
  const manifest = JSON.parse(readFileSync(join(BUNDLES_DIR, name, 'manifest.json'), 'utf8'))
  const { id, revision, license } = manifest as { id: string; revision: string; license: string }
  return [{ id, revision, license }]
}

await runCommand(main, USAGE)
