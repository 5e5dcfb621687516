import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { runProgramFile } from '../../support/program.ts'

const MANIFEST = JSON.parse(
  await readFile(resolve(import.meta.dirname, '../../../gpu-worker/bundles/emoji-96/manifest.json'), 'utf8'),
) as { id: string; revision: string }

const LEDGER = {
  jobId: `job_${'0'.repeat(26)}`,
  status: 'succeeded',
  model: MANIFEST.id,
  revision: MANIFEST.revision,
  strategy: 'baseline',
  accept: 'best',
  verifier: 'parm',
  steps: 12,
  candidates: [{ candidate: 0, outcome: 'won', stepsDone: 12, verdicts: [] }],
  choice: { candidate: 0, reason: 'only', because: '' },
}

// Issue 17, too.
it('npm run replay decides nothing by the rules of another bundle, nor a job without an end, and says so in one line', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'parm-replay-'))
  try {
    const replayOf = async (name: string, ledger: object, mark = '') => {
      await writeFile(join(dir, name), mark + JSON.stringify(ledger))
      return runProgramFile('gpu-worker/src/cli/replay.ts', join(dir, name))
    }
    const [marked, other, running, long, nowhere] = await Promise.all([
      replayOf('marked', LEDGER, '\uFEFF'),
      replayOf('other', { ...LEDGER, revision: 'b'.repeat(64) }),
      replayOf('running', { ...LEDGER, status: 'running' }),
      replayOf('long', { ...LEDGER, candidates: [{ ...LEDGER.candidates[0], stepsDone: 13 }] }),
      runProgramFile('gpu-worker/src/cli/replay.ts', 'http://127.0.0.1:1/x'),
    ])
    expect(marked).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('winner 0 as before') })
    expect(other).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('made by emoji-96 bbbbbbbbbbbb') })
    expect(running).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('got one that is running') })
    expect(long).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('expected at most 12 steps, got 13') })
    expect(nowhere).toMatchObject({ exitCode: 2 })
    expect(nowhere.stderr).toMatch(/^replay: http:\/\/127\.0\.0\.1:1\/x cannot be reached: .+\nRun it with --help/)
  } finally {
    await rm(dir, { recursive: true })
  }
})

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
