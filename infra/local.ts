import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { integerArgument } from './integer-argument.ts'
import { edgeSettings } from './local/edge-settings.ts'
import { JobLines } from './local/job-lines.ts'
import { DEFAULT_BUNDLE } from './local/models.ts'
import { type OutsideQueue, outsideQueue, QUEUE_URL_FLAGS } from './local/outside-queue.ts'
import { type LocalStack, startStack } from './local/stack.ts'
import { traceTarget } from './local/trace-target.ts'

const USAGE = `npm start -- [--port 8787] [--host 127.0.0.1] [--queue-port 0] [--workers 1] [--bundle DIR] [--data DIR]
             [--public-url ORIGIN] [--allow-host NAME,...] [--allow-origin ORIGIN,...]
             [--queue-url-interactive URL --queue-url-batch URL]

Runs the whole service on this machine: edge and playground, queue, workers. Stop it with Ctrl-C.
  --port        port of the service, 0 for any free one          (variable PORT)
  --host        address it listens on; 0.0.0.0 for other devices (variable HOST)
  --public-url  origin of all links, where a proxy stands before it; default http://HOST:PORT
  --allow-host  names, besides addresses and localhost, by which it may be called; * for any
  --allow-origin  origins of other sites' pages that may call it, https://app.example.com; * for any
  --queue-port  port of the queue, 0 for any free one            (variable QUEUE_PORT)
  --queue-url-* queues of another implementation of SQS; AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY as it wants them
  --workers     worker processes, 1 to 16
  --bundle      the bundle they serve; default gpu-worker/bundles/emoji-96
  --data        where jobs, images and messages are kept, default .parm; with --port 0 nowhere

MODEL_ALIASES, SEED_POLICY and IMAGE_RESPONSE set what wrangler.toml says of them (docs/clients.md).
Spans are sent to OTEL_EXPORTER_OTLP_ENDPOINT, with OTEL_EXPORTER_OTLP_HEADERS, where that is set; see also npm run trace.`

interface Arguments {
  readonly port: number
  readonly host: string
  readonly publicUrl?: string
  readonly permittedHosts: readonly string[]
  readonly permittedOrigins: readonly string[]
  readonly queuePort: number
  readonly outsideQueue?: OutsideQueue
  readonly workers: number
  readonly bundleDir: string
  readonly persistDir?: string
}

const ROOT = resolve(import.meta.dirname, '..')

function readArguments(): Arguments {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      port: text,
      host: text,
      'public-url': text,
      'allow-host': text,
      'allow-origin': text,
      'queue-port': text,
      ...QUEUE_URL_FLAGS,
      workers: text,
      bundle: text,
      data: text,
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    process.exit(0)
  }
  const port = portIn('--port', values.port, 'PORT', '8787')
  const outside = outsideQueue(values, process.env)
  return {
    port,
    ...(outside && { outsideQueue: outside }),
    host: values.host ?? process.env.HOST ?? '127.0.0.1',
    ...(values['public-url'] !== undefined && { publicUrl: originIn('--public-url', values['public-url']) }),
    permittedHosts: listIn(values['allow-host']).map(hostIn),
    permittedOrigins: listIn(values['allow-origin']).map((part) =>
      part === '*' ? part : originIn('--allow-origin', part),
    ),
    queuePort: portIn('--queue-port', values['queue-port'], 'QUEUE_PORT', '0'),
    workers: integerArgument('--workers', values.workers ?? '1', 1, 16),
    bundleDir: resolve(values.bundle ?? DEFAULT_BUNDLE),
    // By port, so that two stacks on one machine do not share a database; a port found by chance is not found again.
    ...(port !== 0 && { persistDir: join(resolve(values.data ?? join(ROOT, '.parm')), `port-${port}`) }),
  }
}

const listIn = (text = ''): string[] => text.split(',').flatMap((part) => part.trim() || [])

/** @throws AppError config_invalid  naming the flag, or the variable where that was used */
function portIn(flag: string, value: string | undefined, variable: string, fallback: string): number {
  const { [variable]: set } = process.env
  if (value === undefined && set !== undefined) return integerArgument(`the variable ${variable}`, set, 0, 65_535)
  return integerArgument(flag, value ?? fallback, 0, 65_535)
}

/** @throws AppError config_invalid */
function hostIn(text: string): string {
  if (text === '*' || /^[a-z0-9.-]+$/i.test(text)) return text.toLowerCase()
  const permitted = 'names of hosts without port, images.lan, or *'
  throw new AppError('config_invalid', `--allow-host: expected ${permitted}, got ${JSON.stringify(text)}`)
}

/** @throws AppError config_invalid  where it is no origin */
function originIn(flag: string, text: string): string {
  const url = URL.parse(text)
  if (url && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, '')) return url.origin
  const permitted = 'an origin without a path, such as https://images.example.com'
  throw new AppError('config_invalid', `${flag}: expected ${permitted}, got ${JSON.stringify(text)}`)
}

async function main(): Promise<number> {
  const stopping = new AbortController()
  const asked = new Promise<undefined>((resolveAsked) => {
    stopping.signal.addEventListener('abort', () => resolveAsked(undefined), { once: true })
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort())

  const options = readArguments()
  const lines = new JobLines()
  let stack: LocalStack | undefined
  console.log('starting queue, edge and workers ...')
  try {
    const traces = traceTarget(process.env)
    const start = startStack({
      ...options,
      ...(traces && { traces }),
      edgeSettings: edgeSettings(process.env),
      onWorkerRecord(record) {
        const line = lines.line(record)
        if (line !== undefined) console.log(line)
      },
      onEdgeLog: (level, message) => console.error(`edge ${level}: ${message}`),
    })
    stack = await start
    if (!stopping.signal.aborted) console.log(`ready: ${stack.url}  (no API key needed; Ctrl-C stops it)`)
    const dead = await Promise.race([asked, stack.partDied])
    if (dead !== undefined) {
      console.error(dead)
      console.error('Stopping the rest.')
      return 1
    }
    console.log('stopping ...')
    return 0
  } finally {
    await stack?.stop()
  }
}

await runCommand(main, USAGE)
