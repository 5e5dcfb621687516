import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { settingsCommit } from '../../../gpu-worker/src/cli/settings-commit.ts'

describe('settingsCommit', { timeout: 30_000 }, () => {
  let dir: string
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-settings-'))
  })
  afterEach(() => rm(dir, { recursive: true }))

  const git = (...words: string[]): string =>
    execFileSync('git', ['-C', dir, '-c', 'user.name=a', '-c', 'user.email=a@example.com', ...words], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()

  async function commit(file: string, text: string): Promise<string> {
    await writeFile(join(dir, file), text)
    git('add', file)
    git('commit', '-q', '-m', file)
    return git('rev-parse', 'HEAD')
  }

  it('is the last commit that touched the manifest or the operating points, whatever came after it', async () => {
    git('init', '-q')
    expect(await settingsCommit(dir)).toBeNull()
    const first = await commit('manifest.json', '{}')
    await commit('weights.onnx', '1')
    expect(await settingsCommit(dir)).toMatchObject({ commit: first, isClean: true })
    const second = await commit('operating-points.json', '{}')
    expect(await settingsCommit(dir)).toMatchObject({ commit: second, isClean: true })
    expect(Date.parse((await settingsCommit(dir))?.date ?? '')).not.toBeNaN()
  })

  it('says where a file differs from it', async () => {
    git('init', '-q')
    await commit('manifest.json', '{}')
    await writeFile(join(dir, 'weights.onnx'), 'not a setting')
    expect(await settingsCommit(dir)).toMatchObject({ isClean: true })
    await writeFile(join(dir, 'manifest.json'), '{"steps": 13}')
    expect(await settingsCommit(dir)).toMatchObject({ isClean: false })
  })

  it('is nothing outside a checkout', async () => {
    expect(await settingsCommit(dir)).toBeNull()
  })
})
