import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { DEFAULT_BUNDLE } from '../../infra/local/models.ts'

const LOCAL = resolve(import.meta.dirname, '../../infra/local.ts')
vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 })

const clean: (() => void)[] = []
afterEach(() => {
  for (const undo of clean.splice(0)) undo()
})

/** `npm start` as a process, its output line by line. */
class StartCommand {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly exited: Promise<number | null>
  readonly #waiting = new Set<() => void>()

  constructor(args: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [LOCAL, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...variables },
    })
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (!stream) continue
      createInterface(stream).on('line', (line) => {
        this.lines.push(line)
        for (const wake of this.#waiting) wake()
        this.#waiting.clear()
      })
    }
    this.exited = new Promise((resolveExit) => this.child.once('close', (code) => resolveExit(code)))
    clean.push(() => this.child.kill('SIGKILL'))
  }

  /** The first line that fits, waiting for it. */
  async line(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      for (const line of this.lines) {
        const match = line.match(pattern)
        if (match) return match
      }
      const ended = await Promise.race([
        new Promise<false>((wake) => this.#waiting.add(() => wake(false))),
        this.exited.then(() => true),
      ])
      if (ended && !this.lines.some((line) => pattern.test(line))) {
        throw new Error(`ended without a line like ${pattern}:\n${this.lines.join('\n')}`)
      }
    }
  }

  /** Ids of the processes it started, as far as Linux tells. */
  children(): number[] {
    const path = `/proc/${this.child.pid}/task/${this.child.pid}/children`
    return readFileSync(path, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number)
  }
}

/** A zombie has ended; only whoever started it has not looked yet. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const commandLine = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')

describe.skipIf(process.platform !== 'linux')('npm start (needs /proc, so Linux only)', () => {
  it('prints its URL, tells each job and who has left, and ends with 0 and without leftovers when it is asked to', async () => {
    const command = new StartCommand(['--port', '0'])
    const url = (await command.line(/^ready: (http:\/\/\S+)/))[1] ?? ''
    const response = await fetch(`${url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a photo of an orange', parm: { candidates: 2, steps: 4, deadlineMs: 600_000 } }),
    })
    expect(response.status).toBe(200)
    await command.line(/^started {3}"a photo of an orange" {2}2 candidates, parm$/)
    await command.line(/^finished {2}"a photo of an orange" {2}\d+ ms, \d+ row-steps, \d+ saved$/)
    const leaving = new AbortController()
    const endless = { strategy: 'orm', accept: 'best', candidates: 32, steps: 50, deadlineMs: 600_000 }
    const left = fetch(`${url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a photo of nine pigs', parm: endless }),
      signal: leaving.signal,
    })
    await command.line(/^started {3}"a photo of nine pigs" {2}32 candidates, orm$/)
    leaving.abort()
    await expect(left).rejects.toThrow('aborted')
    await command.line(/^stopped {3}"a photo of nine pigs" {2}told$/)
    const children = command.children()
    expect(children.length).toBeGreaterThanOrEqual(2)
    command.child.kill('SIGINT')
    expect(await command.exited).toBe(0)
    expect(children.filter(isAlive)).toEqual([])
    await expect(fetch(url)).rejects.toThrow()
  })

  it.each([
    ['a worker', 'gpu-worker/src/main.ts', /^worker worker-1 was ended by SIGKILL$/],
    ['the edge', 'workerd', /^the edge \(workerd\) ended$/],
  ])('says that %s died, stops the rest and ends with 1', async (_, program, words) => {
    const command = new StartCommand(['--port', '0'])
    await command.line(/^ready: /)
    const children = command.children()
    const part = children.find((pid) => commandLine(pid).includes(program))
    process.kill(part ?? 0, 'SIGKILL')
    await command.line(words)
    expect(await command.exited).toBe(1)
    expect(children.filter(isAlive)).toEqual([])
  })
})

describe('npm start', () => {
  it('names the port that is taken and how to choose another', async () => {
    const other = createServer()
    clean.push(() => other.close())
    const port = await new Promise<number>((resolvePort) =>
      other.listen(0, '127.0.0.1', () => {
        const address = other.address()
        resolvePort(typeof address === 'object' && address ? address.port : 0)
      }),
    )
    const command = new StartCommand(['--port', String(port)])
    expect(await command.exited).toBe(2)
    expect(command.lines.at(-1)).toBe(
      `Port ${port} for the service is taken by another program. Choose another one with --port or the variable PORT; 0 takes any free port.`,
    )
  })

  it.each([
    [['--workers', '0'], {}, '--workers: expected an integer from 1 to 16, got "0"'],
    [['--allow-host', 'a b'], {}, '--allow-host: expected names of hosts without port, images.lan, or *, got "a b"'],
    [[], { PORT: 'abc' }, 'the variable PORT: expected an integer from 0 to 65535, got "abc"'],
  ])('names the argument that is wrong: %j %j', async (args, variables, words) => {
    const command = new StartCommand(args, variables)
    expect(await command.exited).toBe(2)
    expect(command.lines).toEqual([words])
  })

  it('names the setting that is wrong in its last line', async () => {
    const command = new StartCommand(['--port', '0'], { SEED_POLICY: 'none' })
    expect(await command.exited).toBe(2)
    expect(command.lines).toEqual([
      'starting queue, edge and workers ...',
      'The edge is not configured: SEED_POLICY: expected one of cached, fresh',
    ])
  })

  it('does not start with a damaged bundle, and names the file', async () => {
    const bundle = mkdtempSync(join(tmpdir(), 'damaged-bundle-'))
    clean.push(() => rmSync(bundle, { recursive: true }))
    cpSync(DEFAULT_BUNDLE, bundle, { recursive: true })
    truncateSync(join(bundle, 'step.onnx'), 1000)
    const command = new StartCommand(['--port', '0', '--bundle', bundle])
    expect(await command.exited).toBe(2)
    const text = command.lines.join('\n')
    expect(text).toContain('worker worker-1 ended with code 2')
    expect(text).toMatch(/bundle_invalid: .*step\.onnx.*1000/)
  })
})
