import { join } from 'node:path'
import { AppError } from '../../../shared/error-code.ts'
import { FixedRowsSession, rowCountsUpTo } from './fixed-rows.ts'
import { checkGraph, type GraphContract } from './graph-contract.ts'
import { probeProvider } from './provider-probe.ts'
import type { Provider } from './providers.ts'
import { openSession, type Session } from './session.ts'
import { findRowBudget, timeStep } from './step-trial.ts'
import type { OpenReply, OpenRequest } from './thread-messages.ts'

/** The sessions of one bundle's graphs. Whoever opened them must release them. */
export interface Sessions {
  readonly prefix: Session
  readonly step: Session
  readonly decode: Session
  readonly verifiers: ReadonlyMap<string, Session>
  readonly detector: Session | undefined
  /** All of the above, for release. */
  readonly all: readonly Session[]
}

export interface OpenedSessions {
  readonly sessions: Sessions
  /** Numbers of rows that the convolutional graphs are run with; undefined where each call has its own. */
  readonly rowCounts: readonly number[] | undefined
  readonly reply: Pick<OpenReply, 'provider' | 'refused' | 'rowBudget'>
}

/** Rows of the step by which a provider is compared with the CPU. */
const COMPARED_ROWS = 8
/** Where the search for a row budget ends: past it the latency of a tick would hurt on any processor. */
const MOST_ROWS = 256

/**
 * Opens all graphs on the first provider that can start and is not slower than the CPU, where that is among the others:
 * a graph made for processors, of 8-bit products, may run on a GPU piece by piece. Each graph is checked against its
 * contract.
 *
 * @throws AppError `bundle_invalid`  naming the graph; `config_invalid` when no provider can start
 */
export async function openOnFirstProvider(request: OpenRequest): Promise<OpenedSessions> {
  const refused: string[] = []
  for (const provider of request.providers) {
    const unusable = await probeProvider(provider)
    if (unusable !== undefined) {
      refused.push(unusable)
      continue
    }
    try {
      const sessions = await openSessions(request, provider)
      const slow = await slowerThanCpu(request, provider, sessions)
      if (slow === undefined) {
        const budget = await rowBudget(request, provider, sessions)
        const reply = { provider, refused, rowBudget: budget }
        if (provider !== 'cuda' || budget === undefined) return { sessions, rowCounts: undefined, reply }
        const rowCounts = rowCountsUpTo(budget)
        return { sessions: fixRows(request, provider, sessions, rowCounts), rowCounts, reply }
      }
      refused.push(slow)
      await releaseAll(sessions.all)
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      refused.push(`${provider}: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }
  throw new AppError('config_invalid', `no execution provider can run this bundle; ${refused.join('; ')}`)
}

/** @returns why the CPU should be used instead, in one sentence, or undefined when it should not or may not */
async function slowerThanCpu(
  { dir, graphs, contracts, codebookSize, providers, threads }: OpenRequest,
  provider: Provider,
  sessions: Sessions,
): Promise<string | undefined> {
  if (provider === 'cpu' || !providers.includes('cpu')) return undefined
  const cpu = await openSession(graphs.step, join(dir, graphs.step), 'cpu', threads)
  try {
    const ownMs = await timeStep(sessions.step, contracts.step, codebookSize, COMPARED_ROWS)
    const cpuMs = await timeStep(cpu, contracts.step, codebookSize, COMPARED_ROWS)
    if (ownMs <= cpuMs) return undefined
    return `${provider}: a step of ${COMPARED_ROWS} rows took ${ownMs.toFixed(1)} ms, on the CPU ${cpuMs.toFixed(1)} ms`
  } finally {
    await cpu.release()
  }
}

/** On a CPU time grows with the rows from the first one on, so nothing is to be found out. */
async function rowBudget(
  { contracts, codebookSize }: OpenRequest,
  provider: Provider,
  { step }: Sessions,
): Promise<number | undefined> {
  if (provider === 'cpu') return undefined
  return findRowBudget((rows) => timeStep(step, contracts.step, codebookSize, rows), MOST_ROWS)
}

async function openSessions(request: OpenRequest, provider: Provider): Promise<Sessions> {
  const { dir, graphs, contracts, threads } = request
  const opened: Session[] = []
  const open = async (file: string, contract: GraphContract): Promise<Session> => {
    const session = await openSession(file, join(dir, file), provider, threads).catch((cause: unknown) => {
      // The CPU provider is always there, so what it cannot load is no valid graph. Others may lack a driver.
      if (provider !== 'cpu') throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new AppError('bundle_invalid', `graph ${file} cannot be loaded: ${why}`, { cause })
    })
    opened.push(session)
    checkGraph(file, session, contract)
    return session
  }
  try {
    const prefix = await open(graphs.prefix, contracts.prefix)
    const step = await open(graphs.step, contracts.step)
    const decode = await open(graphs.decode, contracts.decode)
    const verifiers = new Map<string, Session>()
    for (const [name, file] of Object.entries(graphs.verifiers))
      verifiers.set(name, await open(file, contracts.verifier))
    const detector = graphs.detector && contracts.detector ? await open(graphs.detector, contracts.detector) : undefined
    return { prefix, step, decode, verifiers, detector, all: opened }
  } catch (cause) {
    await releaseAll(opened)
    throw cause
  }
}

/**
 * Makes the graphs that make or read pictures run with these numbers of rows only. CUDA alone needs it, and only where
 * there are convolutions, which prefix and step have none of. WebGPU plans in milliseconds and takes longer for more rows.
 *
 * @param sessions  belong to the answer from now on
 */
export function fixRows(
  { dir, threads }: OpenRequest,
  provider: Provider,
  { prefix, step, decode, verifiers, detector }: Sessions,
  rowCounts: readonly number[],
): Sessions {
  const fixed: Session[] = []
  const fix = (session: Session): Session => {
    const { graph } = session
    const open = () => openSession(graph, join(dir, graph), provider, threads)
    const fixedSession = new FixedRowsSession(session, open, rowCounts)
    fixed.push(fixedSession)
    return fixedSession
  }
  return {
    prefix,
    step,
    decode: fix(decode),
    verifiers: new Map([...verifiers].map(([name, session]) => [name, fix(session)])),
    detector: detector && fix(detector),
    all: [prefix, step, ...fixed],
  }
}

/** Frees native memory. */
export async function releaseAll(sessions: readonly Session[]): Promise<void> {
  for (const session of sessions) await session.release()
}
