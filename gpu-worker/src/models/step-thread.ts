/** Entry of a thread that takes a share of each step: see `SplitStep`. */
import { InvariantError } from '../../../shared/error-code.ts'
import { PrefixTable } from './prefix-table.ts'
import { openSession, type Session } from './session.ts'
import { NO_TIME } from './spent-time.ts'
import { StepSession } from './step-session.ts'
import type { StepThreadCalls } from './thread-messages.ts'
import { serveThread } from './thread-server.ts'

let session: Session | undefined
let steps: StepSession | undefined

function opened(): StepSession {
  if (steps === undefined) throw new InvariantError('a call came before open')
  return steps
}

serveThread<StepThreadCalls>({
  calls: {
    open: async ({ graph, path, contract, codebookSize, threads, planes, unconditional }) => {
      session = await openSession(graph, path, 'cpu', threads)
      steps = new StepSession(session, contract, codebookSize, new PrefixTable(planes, unconditional))
      return undefined
    },
    prefix: async ({ key, prefix }) => {
      opened().prefixes.add(key, prefix)
      return undefined
    },
    step: (request) => opened().step(request),
    close: async () => {
      await session?.release()
      return undefined
    },
  },
  forget: (key) => steps?.prefixes.drop(key),
  spent: () => session?.spent ?? NO_TIME,
})
