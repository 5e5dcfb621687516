import { Dice } from './dice.ts'
import type { FaultLog } from './fault-log.ts'
import { type Answer, type Neighbour, type Passed, startProxy } from './proxy.ts'

/** Shares of the calls that a fault happens to. */
const RATES = { duplicate: 0.04, delayed: 0.03, lostAck: 0.04 }

export interface FaultyQueue extends Neighbour {
  /** Callback keys of all messages that passed. */
  readonly keys: ReadonlySet<string>
  /** While true nobody reaches the queue. */
  isDown: boolean
}

/**
 * SQS as it is on a bad day: messages are handed in twice, what was received never arrives and comes back when its visibility
 * ends, deletions are lost. It reads the JSON protocol and nothing of any implementation's own; requests are passed on as they
 * are, signature included.
 *
 * @param target  origin of the queues
 */
export async function startFaultyQueue(target: string, seed: number, log: FaultLog): Promise<FaultyQueue> {
  const dice = {
    duplicate: new Dice(seed, 'duplicate'),
    delayed: new Dice(seed, 'delayed'),
    lostAck: new Dice(seed, 'lostAck'),
  }
  const keys = new Set<string>()
  const state = { isDown: false }

  const proxy = await startProxy(target, async (passing, forward): Promise<Passed> => {
    if (state.isDown) return 'cut'
    switch (String(passing.headers['x-amz-target']).split('.').at(-1)) {
      case 'SendMessage': {
        const key = /callbackKey\\":\\"([A-Za-z0-9_-]{43})/.exec(passing.body.toString())?.[1]
        if (key !== undefined) keys.add(key)
        const answer = await forward(passing)
        if (dice.duplicate.happens(RATES.duplicate)) {
          await forward(passing)
          log.note('duplicateDelivery')
        }
        return answer
      }
      case 'ReceiveMessage': {
        const answer = await forward(passing)
        if (!hasMessages(answer) || !dice.delayed.happens(RATES.delayed)) return answer
        log.note('delayedDelivery')
        return { ...answer, headers: {}, body: Buffer.from('{}') }
      }
      case 'DeleteMessage': {
        if (!dice.lostAck.happens(RATES.lostAck)) return forward(passing)
        log.note('lostAck')
        return { status: 200, headers: { 'content-type': 'application/x-amz-json-1.0' }, body: Buffer.from('{}') }
      }
      default:
        return forward(passing)
    }
  })
  return Object.assign(state, { ...proxy, keys })
}

const hasMessages = ({ body }: Answer): boolean => body.includes('"ReceiptHandle"')
