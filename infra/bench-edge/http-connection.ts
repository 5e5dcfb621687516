import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')

export interface Answer {
  readonly status: number
  readonly head: string
  readonly body: Buffer
}

/**
 * One kept-alive HTTP/1.1 connection with at most one request under way. It knows only answers with a Content-Length, which
 * is what keeps it cheap: a client that shares the machine's processors with the server must not be what is measured.
 */
export class HttpConnection {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#waiting?.reject(error))
    socket.on('close', () => this.#waiting?.reject(new Error('the server closed the connection')))
  }

  static async open({ hostname, port }: URL): Promise<HttpConnection> {
    const socket = createConnection({ host: hostname, port: Number(port) })
    await once(socket, 'connect')
    return new HttpConnection(socket)
  }

  /** @param request  all its bytes, made by `requestBytes` */
  send(request: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(request)
    })
  }

  close(): void {
    this.#waiting = undefined
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    const headEnd = this.#received.indexOf(HEAD_END)
    if (headEnd < 0) return
    const head = this.#received.toString('latin1', 0, headEnd)
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN)
    if (Number.isNaN(length)) {
      this.#waiting?.reject(new Error(`an answer without Content-Length: ${head}`))
      return
    }
    const end = headEnd + HEAD_END.length + length
    if (this.#received.length < end) return
    const body = this.#received.subarray(headEnd + HEAD_END.length, end)
    this.#received = this.#received.subarray(end)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve({ status: Number(head.slice(9, 12)), head, body })
  }
}

export function requestBytes(
  method: string,
  url: URL,
  body: string,
  headers: Readonly<Record<string, string>>,
): Buffer {
  const lines = Object.entries({
    host: url.host,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${method} ${url.pathname} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
}
