import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { runProgramFile } from '../../support/program.ts'

it('npm run replay says which ledger cannot be read, and which bundle', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'parm-replay-'))
  try {
    const file = join(dir, 'ledger.json')
    await writeFile(file, '<html>')
    const replay = (...args: string[]) => runProgramFile('gpu-worker/src/cli/replay.ts', ...args)
    const [html, missing, noBundle] = await Promise.all([
      replay(file),
      replay(join(dir, 'none.json')),
      replay(file, '--bundle', dir),
    ])
    expect(html).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`replay: ${file} is no JSON`) })
    expect(missing).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('none.json cannot be read: ENOENT') })
    expect(noBundle).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(`replay: no bundle at ${dir}`) })
  } finally {
    await rm(dir, { recursive: true })
  }
})
