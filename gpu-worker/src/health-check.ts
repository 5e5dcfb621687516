// What a container's health check runs: exits 0 while the worker of this container says that it is alive, 1 otherwise.
const PORT = process.env.PARM_HEALTH_PORT || '8788'
const TIMEOUT_MS = 4000

const answer = await fetch(`http://127.0.0.1:${PORT}/healthz`, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(
  (error: unknown) => {
    console.error(`the health server does not answer: ${error}`)
  },
)
process.exitCode = answer?.ok === true ? 0 : 1
