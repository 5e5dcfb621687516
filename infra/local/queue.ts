import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { LANES, type Lane } from '../../shared/job.ts'
import { startOnLoopback } from './loopback-server.ts'
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
  /** Resolves when it takes no more calls, however that came. */
  readonly closed: Promise<void>
  stop(): Promise<void>
}

/** Queue of a lane; its dead-letter queue has `-dead` at the end. */
export const queueName = (lane: Lane): string => `parm-${lane}`

/**
 * An SQS emulator in this process, with a queue and a dead-letter queue for each lane.
 *
 * @param port     0 takes a free one. Reached by programs of this machine alone.
 * @param dataDir  where messages outlive the process; without it they are kept in memory. With it, version 2.4.1 loses a
 *                 message whose visibility is set to 0, which no part of this project does
 */
export async function startQueue(port: number, dataDir?: string): Promise<LocalQueue> {
  const { started: server, closed } = await startOnLoopback(() =>
    startFauxqs({ port, logger: false, defaultRegion: REGION, ...(dataDir && { dataDir }) }),
  )
  const urls = {} as Record<Lane, string>
  for (const lane of LANES) {
    const name = queueName(lane)
    const deadLetterTargetArn = ensureQueue(server, `${name}-dead`)
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn, maxReceiveCount: String(MAX_RECEIVES) })
    ensureQueue(server, name, { RedrivePolicy })
    // Not the URL that createQueue returns: it names a host that does not resolve everywhere.
    urls[lane] = `http://${LOOPBACK}:${server.port}/000000000000/${name}`
  }
  return { port: server.port, region: REGION, urls, server, closed, stop: () => server.stop() }
}

/** Creating a queue again would empty it. */
function ensureQueue(server: FauxqsServer, name: string, attributes?: Record<string, string>): string {
  const existing = server.inspectQueue(name)
  return existing ? existing.arn : server.createQueue(name, attributes && { attributes }).queueArn
}
