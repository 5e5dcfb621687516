import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkInputFolder, checkOutputFile, checkOutputFolder } from '../../../gpu-worker/src/cli/files.ts'
import { parsePrompts } from '../../../gpu-worker/src/geneval/metadata.ts'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { runProgramFile } from '../../support/program.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'parm-files-'))
})
afterEach(() => rm(dir, { recursive: true }))

describe('where a file is to be written', () => {
  it('is made ready', async () => {
    await checkOutputFile('out', join(dir, 'a/b/picture.png'))
    expect((await stat(join(dir, 'a/b'))).isDirectory()).toBe(true)
  })

  it('is refused by flag and path where a folder or a file is in the way', async () => {
    await writeFile(join(dir, 'file'), '')
    await expect(checkOutputFile('out', dir)).rejects.toThrow(`--out: expected a file, but ${dir} is a folder`)
    const inFile = join(dir, 'file', 'picture.png')
    await expect(checkOutputFile('sheet', inFile)).rejects.toThrow(`--sheet: the folder ${join(dir, 'file')} cannot be`)
  })

  // Node's own recursive mkdir tries for ever.
  it.skipIf(process.platform !== 'linux')('is refused where a file system takes no folders', async () => {
    await expect(checkOutputFolder('out', '/proc/parm/x')).rejects.toThrow(
      '--out: the folder /proc/parm/x cannot be made (ENOENT)',
    )
  })

  it('is found missing, or to be a file, before anything is read', async () => {
    await writeFile(join(dir, 'file'), '')
    const read = (name: string) => checkInputFolder('report', join(dir, name), 'a recording')
    await expect(read('file')).rejects.toThrow(
      `--report: expected the folder of a recording, but ${dir}/file is a file`,
    )
    await expect(read('none')).rejects.toThrow(`cannot read ${dir}/none (ENOENT)`)
    await read('.')
  })

  // Issue 17: a stack trace, after the picture had been made.
  it('is looked at before a picture is made', async () => {
    const ended = await runProgramFile('gpu-worker/src/cli/generate.ts', 'a dog', '--out', dir)
    expect(ended).toMatchObject({
      exitCode: 2,
      stderr: `generate: --out: expected a file, but ${dir} is a folder\nRun it with --help to see all flags.\n`,
    })
  })
})

it('a byte-order mark before a text is not part of it', () => {
  expect(withoutByteOrderMark('\uFEFF{}')).toBe('{}')
  expect(() => parsePrompts('\uFEFF{"tag": 1}', 'x.jsonl')).not.toThrow('expected one JSON object')
})
