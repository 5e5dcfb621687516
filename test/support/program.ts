import { execFile } from 'node:child_process'
import { resolve } from 'node:path'

export interface ProgramEnd {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

const ROOT = resolve(import.meta.dirname, '../..')

/** Runs one of our programs as a process of its own, in the repository root. */
export function runProgramFile(path: string, ...args: string[]): Promise<ProgramEnd> {
  return new Promise((settle) => {
    const child = execFile(process.execPath, [resolve(ROOT, path), ...args], { cwd: ROOT }, (_, stdout, stderr) => {
      settle({ exitCode: child.exitCode, stdout, stderr })
    })
  })
}

/** The last line of what a program wrote. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}
