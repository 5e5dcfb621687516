/** Entry of the process that holds the edge, so that it can be killed like a machine. Started by edge-process.ts. */
import { type EdgeOptions, startEdge } from '../local/edge.ts'

export type EdgeOrder = Omit<EdgeOptions, 'onLog'>
export type EdgeNews =
  | { readonly type: 'ready' }
  | { readonly type: 'log'; readonly level: string; readonly message: string }

const tell = (news: EdgeNews): void => void process.send?.(news)

process.once('message', (order: EdgeOrder) => {
  void startEdge({ ...order, onLog: (level, message) => tell({ type: 'log', level, message }) }).then(
    (edge) => {
      process.once('SIGTERM', () => void edge.stop().then(() => process.exit(0)))
      tell({ type: 'ready' })
    },
    (error: unknown) => {
      console.error(error)
      process.exit(1)
    },
  )
})
// Whoever ordered the edge has gone.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
