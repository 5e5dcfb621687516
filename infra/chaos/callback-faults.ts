import { setTimeout as delay } from 'node:timers/promises'
import { SIGNATURE_HEADERS } from '../../shared/worker-protocol.ts'
import { Dice } from './dice.ts'
import type { FaultLog } from './fault-log.ts'
import { type Answer, type Meddle, type Neighbour, type Passing, startProxy } from './proxy.ts'

/** Shares of the calls that a fault happens to. */
const RATES = { slowUpload: 0.05, failedUpload: 0.05, lostReply: 0.02, corrupted: 0.02, replayed: 0.02, cutLine: 0.1 }
const SLOW_MS = { min: 200, max: 1_500 }
const REPLAY_AFTER_MS = { min: 100, max: 5_000 }
const CUT_AFTER_MS = { min: 0, max: 2_000 }

/**
 * The road from workers to the edge, with a bad neighbour on it: uploads are slow or fail, answers get lost after the edge has
 * acted, signed calls are sent again later, altered copies of them are tried, which the edge must refuse, and control lines are cut.
 */
export async function startFaultyCallbacks(edge: string, seed: number, log: FaultLog): Promise<Neighbour> {
  const dice = Object.fromEntries(Object.keys(RATES).map((kind) => [kind, new Dice(seed, kind)])) as Record<
    keyof typeof RATES,
    Dice
  >
  const waits = new Dice(seed, 'waits')
  const happens = (kind: keyof typeof RATES) => dice[kind].happens(RATES[kind])
  const replays = new Set<Promise<void>>()
  /** Attempt number by claim. */
  const granted = new Map<string, number>()
  let isOver = false

  const meddle: Meddle = async (passing, forward) => {
    if (passing.method === 'PUT') {
      if (happens('slowUpload')) {
        log.note('slowUpload')
        await delay(waits.integer(SLOW_MS.min, SLOW_MS.max))
      }
      if (happens('failedUpload')) {
        log.note('failedUpload')
        return { status: 503, headers: { 'retry-after': '0' }, body: Buffer.from('{}') }
      }
    }
    // Whether an edge is there may be asked by anybody, and asked again.
    const isSigned = SIGNATURE_HEADERS.signature in passing.headers
    if (isSigned && happens('corrupted')) await tryCorrupted(passing, forward)
    if (isSigned && happens('replayed')) {
      const replay = replayLater(passing, forward).finally(() => replays.delete(replay))
      replays.add(replay)
    }
    const answer = await forward(passing)
    if (isGrant(passing, answer)) granted.set(claimIdOf(passing), attemptOf(answer))
    if (!happens('lostReply')) return answer
    log.note('lostReply')
    return 'cut'
  }
  const proxy = await startProxy(edge, meddle, (line) => {
    if (!happens('cutLine')) return
    log.note('cutControlLine')
    setTimeout(() => line.cut(), waits.integer(CUT_AFTER_MS.min, CUT_AFTER_MS.max)).unref()
  })

  /** Changes one byte of the body on the way. A refusal of the altered copy must not depend on what the body means. */
  async function tryCorrupted(passing: Passing, forward: (passing: Passing) => Promise<Answer>): Promise<void> {
    const body = Buffer.from(passing.body)
    const place = waits.integer(0, body.length - 1)
    body[place] = (body[place] as number) ^ 1
    const answer = await forward({ ...passing, body }).catch(() => undefined)
    log.note('corruptedCallback')
    // An edge that was just killed refuses in its own way.
    if (answer !== undefined && answer.status !== 401 && answer.status < 500) {
      log.breach(`the edge answered ${answer.status} to an altered ${passing.method} ${passing.path}`)
    }
  }

  async function replayLater(passing: Passing, forward: (passing: Passing) => Promise<Answer>): Promise<void> {
    await delay(waits.integer(REPLAY_AFTER_MS.min, REPLAY_AFTER_MS.max))
    if (isOver) return
    const answer = await forward(passing).catch(() => undefined)
    log.note('replayedCallback')
    // The same answer again is harmless: who replays cannot sign what would have to follow.
    if (answer && isGrant(passing, answer) && granted.get(claimIdOf(passing)) !== attemptOf(answer)) {
      log.breach(`a replayed claim was granted: ${passing.path}`)
    }
  }

  return {
    origin: proxy.origin,
    async stop() {
      isOver = true
      await Promise.all(replays)
      await proxy.stop()
    },
  }
}

const isGrant = ({ path }: Passing, { status, body }: Answer): boolean =>
  path.endsWith('/claim') && status === 200 && body.includes('"go"')
const claimIdOf = ({ body }: Passing): string => (JSON.parse(body.toString()) as { claimId: string }).claimId
const attemptOf = ({ body }: Answer): number => (JSON.parse(body.toString()) as { attempt: number }).attempt
