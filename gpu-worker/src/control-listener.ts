import { ControlReply } from '../../shared/worker-protocol.ts'

/** A line that broke is opened again so much later: heartbeats bridge the gap. */
const REOPEN_MS = 5000

/**
 * Listens on the edge's control line of one job until told to stop, over as many connections as that takes.
 *
 * @param signedHeaders  made anew for every connection, because the edge refuses an old time stamp
 * @returns              stops listening
 */
export function listenToControl(
  url: string,
  signedHeaders: () => Record<string, string>,
  onControl: (reply: ControlReply) => void,
): () => void {
  let socket: WebSocket
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  const open = (): void => {
    // Node's own client takes headers where a browser's takes protocols.
    socket = new WebSocket(url, { headers: signedHeaders() } as unknown as string[])
    socket.addEventListener('message', ({ data }) => {
      const reply = ControlReply.safeParse(parse(String(data)))
      if (reply.success && !isStopped) onControl(reply.data)
    })
    socket.addEventListener('close', () => {
      if (!isStopped) timer = setTimeout(open, REOPEN_MS).unref()
    })
    // A close follows; without a listener the error would end the process.
    socket.addEventListener('error', () => undefined)
  }
  open()
  return () => {
    isStopped = true
    clearTimeout(timer)
    socket.close()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
