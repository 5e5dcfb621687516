import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LineOutput } from '../../gpu-worker/src/line-output.ts'

describe('the output of log lines', () => {
  it('loses lines to a full disk, says how many, and goes on', () => {
    let fail: (error: Error) => void = () => {}
    const streamed: string[] = []
    const direct: string[] = []
    let isFull = true
    const stream = {
      write: (line: string) => streamed.push(line) > 0,
      on: (_: string, listener: (error: Error) => void) => {
        fail = listener
      },
    }
    const output = new LineOutput(stream as never, (line) => {
      if (isFull) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      direct.push(line)
    })
    output.write('one')
    fail(new Error('ENOSPC'))
    output.write('two')
    output.write('three')
    isFull = false
    output.write('four')
    expect(streamed).toEqual(['one\n'])
    expect(direct).toEqual(['{"level":"warn","event":"log lines lost","lines":3}\n', 'four\n'])
  })

  it.skipIf(!existsSync('/dev/full'))(
    'does not end a process whose log goes to a full disk',
    async () => {
      const source = `
      import { LineOutput } from ${JSON.stringify(resolve(import.meta.dirname, '../../gpu-worker/src/line-output.ts'))}
      const output = new LineOutput(process.stdout)
      for (let line = 0; line < 100; line++) { output.write('line ' + line); await new Promise(setImmediate) }
      console.error('still here')`
      const program = `exec "${process.execPath}" --input-type=module-typescript -e "$SOURCE" > /dev/full`
      const { code, stderr } = await new Promise<{ code: number; stderr: string }>((settle) => {
        const child = execFile('sh', ['-c', program], { env: { ...process.env, SOURCE: source } }, (_, __, stderr) =>
          settle({ code: child.exitCode ?? -1, stderr }),
        )
      })
      expect(stderr).toContain('still here')
      expect(code).toBe(0)
    },
    60_000,
  )
})
