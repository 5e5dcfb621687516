import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { LANES, type Lane } from '../../shared/job.ts'
import { LOOPBACK } from './ports.ts'

/** Deliveries of one message before it goes to the dead-letter queue; above the worker's own limit of attempts. */
export const MAX_RECEIVES = 8
const REGION = 'us-east-1'

export interface LocalQueue {
  readonly port: number
  readonly region: string
  readonly urls: Readonly<Record<Lane, string>>
  /** The emulator itself, for looking into queues. */
  readonly server: FauxqsServer
  stop(): Promise<void>
}

/** Queue of a lane; its dead-letter queue has `-dead` at the end. */
export const queueName = (lane: Lane): string => `parm-${lane}`

/**
 * An SQS emulator in this process, with a queue and a dead-letter queue for each lane. In memory: jobs that were queued
 * when it stops expire at the edge.
 *
 * @param port  0 takes a free one. The emulator listens on all interfaces, it has no option for less.
 */
export async function startQueue(port: number): Promise<LocalQueue> {
  const server = await startFauxqs({ port, logger: false, defaultRegion: REGION })
  const urls = {} as Record<Lane, string>
  for (const lane of LANES) {
    const name = queueName(lane)
    const { queueArn: deadLetterTargetArn } = server.createQueue(`${name}-dead`)
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: String(MAX_RECEIVES) })
    server.createQueue(name, { attributes: { RedrivePolicy } })
    // Not the URL that createQueue returns: it names a host that does not resolve everywhere.
    urls[lane] = `http://${LOOPBACK}:${server.port}/000000000000/${name}`
  }
  return { port: server.port, region: REGION, urls, server, stop: () => server.stop() }
}
