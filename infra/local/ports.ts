import { createServer } from 'node:net'
import { AppError } from '../../shared/error-code.ts'

export const LOOPBACK = '127.0.0.1'
/** It is the host, then, and no other port would do. */
const NO_ADDRESS = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL']

/**
 * Makes sure that a service can listen on `port`, before it is started and fails in its own words.
 *
 * @param service  named in the message, with the way to choose another port
 * @returns        the port; a free one where 0 was asked for
 * @throws AppError config_invalid  when the port is taken or may not be used
 */
export function reservePort(
  port: number,
  host: string,
  service: { name: string; howToChange: string },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be used (${cause.code})`
      const message = NO_ADDRESS.includes(cause.code ?? '')
        ? `${host} is no address of this machine (${cause.code}). Choose one with --host or the variable HOST; 127.0.0.1 is for this machine alone.`
        : `Port ${port} for ${service.name} ${why}. ${service.howToChange}`
      reject(new AppError('config_invalid', message, { cause }))
    })
    probe.listen(port, host, () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : port))
    })
  })
}
