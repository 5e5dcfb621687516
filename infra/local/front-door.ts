import { connect, createServer, type Socket } from 'node:net'
import { AppError } from '../../shared/error-code.ts'
import { LOOPBACK } from './ports.ts'

export interface FrontDoor {
  /** Closes every connection. */
  close(): Promise<void>
}

/**
 * The socket that callers reach. It passes bytes on as they are, and tells the edge that a caller has gone.
 *
 * workerd alone does not notice: a caller who closes a connection sends FIN, which to workerd is a caller with nothing
 * more to say, and only an answer's bytes would find out otherwise. What stands before a deployed Worker, as any reverse
 * proxy, takes FIN amid a request for the end of it. Here it becomes a reset, which workerd understands.
 *
 * @param innerPort  of the edge, on this machine
 * @throws AppError config_invalid  when another program has the port
 */
export async function openFrontDoor(host: string, port: number, innerPort: number): Promise<FrontDoor> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (caller) => {
    const inner = connect({ host: LOOPBACK, port: innerPort, allowHalfOpen: true, noDelay: true })
    const leave = () => {
      inner.resetAndDestroy()
      caller.destroy()
    }
    for (const socket of [caller, inner]) {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
    }
    caller.once('end', leave).once('error', leave).once('close', leave)
    inner.once('error', () => caller.destroy()).once('close', () => caller.destroySoon())
    caller.pipe(inner, { end: false })
    inner.pipe(caller)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'Address already in use' : `Cannot listen, ${cause.code}`
      reject(new AppError('config_invalid', `${why} (${host}:${port})`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}
