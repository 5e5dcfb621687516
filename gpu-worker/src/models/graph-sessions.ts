import { join } from 'node:path'
import { AppError } from '../../../shared/error-code.ts'
import { checkGraph, type GraphContract } from './graph-contract.ts'
import { probeProvider } from './provider-probe.ts'
import type { Provider } from './providers.ts'
import { openSession, type Session } from './session.ts'
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

/**
 * Opens all graphs on the first provider that can start, each checked against its contract.
 *
 * @throws AppError `bundle_invalid`  naming the graph; `config_invalid` when no provider can start
 */
export async function openOnFirstProvider(request: OpenRequest): Promise<{ sessions: Sessions; reply: OpenReply }> {
  const refused: string[] = []
  for (const provider of request.providers) {
    const unusable = await probeProvider(provider)
    if (unusable !== undefined) {
      refused.push(unusable)
      continue
    }
    try {
      return { sessions: await openSessions(request, provider), reply: { provider, refused } }
    } catch (cause) {
      if (cause instanceof AppError) throw cause
      refused.push(`${provider}: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }
  throw new AppError('config_invalid', `no execution provider can run this bundle; ${refused.join('; ')}`)
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

/** Frees native memory. */
export async function releaseAll(sessions: readonly Session[]): Promise<void> {
  for (const session of sessions) await session.release()
}
