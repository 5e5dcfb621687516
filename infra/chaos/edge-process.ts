import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { EdgeNews, EdgeOrder } from './edge-host.ts'

/** The edge in a process group of its own: all of it can be killed at once, and started again over what it had stored. */
export class EdgeProcess {
  readonly #order: EdgeOrder
  readonly #onLog: (message: string) => void
  #child: ChildProcess | undefined

  constructor(order: EdgeOrder, onLog: (message: string) => void) {
    this.#order = order
    this.#onLog = onLog
  }

  get origin(): string {
    return `http://${this.#order.host}:${this.#order.port}`
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const child = fork(join(import.meta.dirname, 'edge-host.ts'), [], {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', this.#onLog)
    await new Promise<void>((resolve, reject) => {
      child.on('message', (news: EdgeNews) => (news.type === 'ready' ? resolve() : this.#onLog(news.message)))
      child.once('exit', (code, signal) => reject(new Error(`the edge ended: ${signal ?? code}`)))
      child.send(this.#order)
    })
  }

  /** As a machine that loses power: wrangler and workerd alike. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child?.pid === undefined) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    process.kill(-child.pid, 'SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }
}
