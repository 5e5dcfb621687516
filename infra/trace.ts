import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ParmClient } from '../edge/client/client.ts'
import { AppError } from '../shared/error-code.ts'
import { traceparentOf } from '../shared/trace-context.ts'
import { runCommand } from './command.ts'
import { startStack } from './local/stack.ts'
import { TraceCollector } from './trace/trace-collector.ts'
import { gapsOf, waterfall } from './trace/waterfall.ts'

const USAGE = `npm run trace -- ["PROMPT"] [--candidates 4] [--steps 12] [--out trace.json]

Starts edge, queue and one worker on free ports, asks for one picture and prints its trace: what happened where, and how long it
took. The last line is one JSON object.
  --out  also writes the trace as OTLP JSON, which Jaeger and others load

To send the traces of \`npm start\` to a backend of your own, set OTEL_EXPORTER_OTLP_ENDPOINT for it.`

const DEFAULT_PROMPT = 'a photo of a red apple left of a blue car'
/** From the answer to the last span; the worker sends its spans once a second. */
const ARRIVAL_MS = 60_000

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      candidates: { type: 'string', default: '4' },
      steps: { type: 'string', default: '12' },
      out: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const [prompt = DEFAULT_PROMPT] = positionals
  const parm = { candidates: Number(values.candidates), steps: Number(values.steps), deadlineMs: 600_000 }
  const collector = await TraceCollector.start()
  try {
    const stack = await startStack({ traces: { endpoint: collector.endpoint, headers: '' } })
    try {
      const context = {
        traceId: randomBytes(16).toString('hex'),
        spanId: randomBytes(8).toString('hex'),
        isSampled: true,
      }
      const client = new ParmClient({ baseUrl: stack.url, retries: 0 })
      await client.images
        .generate({ prompt, parm, response_format: 'url' }, { traceparent: traceparentOf(context) })
        .catch((cause: Error) => {
          throw new AppError('invalid_request', `the edge drew no picture: ${cause.message}`, { cause })
        })
      const spans = await collector.wholeTrace(context.traceId, gapsOf, ARRIVAL_MS)
      for (const line of waterfall(spans)) console.log(line)
      if (values.out !== undefined) await writeTrace(resolve(values.out), collector, context.traceId)
      console.log(JSON.stringify({ traceId: context.traceId, spans: spans.length, services: servicesOf(spans) }))
      return 0
    } finally {
      await stack.stop()
    }
  } finally {
    await collector.stop()
  }
}

const servicesOf = (spans: readonly { readonly service: string }[]): string[] =>
  [...new Set(spans.map(({ service }) => service))].sort()

/** Other requests of the stack, its own health check among them, have traces of their own. */
async function writeTrace(path: string, collector: TraceCollector, traceId: string): Promise<void> {
  const resourceSpans = collector.bodies.flatMap((body) =>
    JSON.stringify(body).includes(traceId) ? (body as { resourceSpans: unknown[] }).resourceSpans : [],
  )
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, JSON.stringify({ resourceSpans }))
  console.error(`trace: ${path}`)
}

await runCommand(main, USAGE)
