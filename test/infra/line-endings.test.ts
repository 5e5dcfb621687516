import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')

// Issue 17: in a clone with core.autocrlf no bundle could be opened, "manifest.json was altered".
it('are kept by every clone, so that files are known by their hashes', () => {
  const files = ['gpu-worker/bundles/emoji-96/manifest.json', 'infra/local.ts', '.ci/run']
  const answer = execFileSync('git', ['check-attr', 'text', ...files], { cwd: ROOT, encoding: 'utf8' })
  expect(answer.trim().split('\n')).toEqual(files.map((file) => `${file}: text: unset`))
})
