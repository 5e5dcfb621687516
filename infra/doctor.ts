import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { examine } from './doctor/examination.ts'
import { findingLines } from './doctor/finding.ts'

const USAGE = `npm run doctor -- [--url URL] [--env NAME] [--worker URL] [--queue LANE=URL] [--wait 60] [--no-picture]

Looks at a running deployment part by part, asks it for one picture, and says what is wrong and what to do first. Ends with 1 if
anything is wrong. The last line is one JSON object.
  --url         the edge; default PARM_EDGE_URL, then PUBLIC_URL of --env, then http://127.0.0.1:8787
  --env         dev, staging or production: its queues from wrangler.toml, its fleet and alarms by the aws command line
  --worker      a worker's health address, http://127.0.0.1:8788; may be repeated
  --queue       interactive=URL or batch=URL, instead of those of --env; may be repeated
  --wait        seconds that the picture may take; a fleet that starts from zero needs about 400 (60)
  --no-picture  asks for none

PARM_API_KEY and PARM_OPERATOR_KEY are shown to an edge that wants keys; AWS_* variables open the queues.`

const CONFIG_PATH = resolve(import.meta.dirname, '../wrangler.toml')

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      url: text,
      env: text,
      worker: { ...text, multiple: true },
      queue: { ...text, multiple: true },
      wait: { ...text, default: '60' },
      'no-picture': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const settings = values.env === undefined ? undefined : await readEnvironment(values.env)
  const findings = await examine({
    url: values.url ?? process.env.PARM_EDGE_URL ?? (settings?.publicUrl || 'http://127.0.0.1:8787'),
    deployment: values.env,
    queues: values.queue ? new Map(values.queue.map(laneAndUrl)) : (settings?.queues ?? new Map()),
    workers: values.worker ?? [],
    waitSeconds: values['no-picture'] ? undefined : seconds(values.wait),
    keys: { api: process.env.PARM_API_KEY, operator: process.env.PARM_OPERATOR_KEY },
    onFinding: (finding) => {
      for (const line of findingLines(finding)) console.log(line)
    },
  })
  const count = (state: string) => findings.filter((finding) => finding.state === state).length
  console.log(JSON.stringify({ ok: count('ok'), wrong: count('wrong'), skipped: count('skipped') }))
  return count('wrong') > 0 ? 1 : 0
}

async function readEnvironment(env: string): Promise<{ publicUrl: string; queues: Map<string, string> }> {
  const { unstable_readConfig } = await import('wrangler')
  try {
    const { vars } = unstable_readConfig({ config: CONFIG_PATH, env }, { hideWarnings: true })
    process.env.AWS_REGION ??= String(vars.SQS_REGION)
    const { QUEUE_URL_INTERACTIVE, QUEUE_URL_BATCH, PUBLIC_URL } = vars
    return {
      publicUrl: String(PUBLIC_URL),
      queues: new Map([
        ['interactive', String(QUEUE_URL_INTERACTIVE)],
        ['batch', String(QUEUE_URL_BATCH)],
      ]),
    }
  } catch (cause) {
    throw new AppError('config_invalid', `--env: wrangler.toml has no environment ${JSON.stringify(env)}`, { cause })
  }
}

function laneAndUrl(text: string): [string, string] {
  const [, lane, url] = /^(interactive|batch)=(https?:\/\/.+)$/.exec(text) ?? []
  if (lane !== undefined && url !== undefined) return [lane, url]
  throw new AppError('config_invalid', `--queue: expected interactive=URL or batch=URL, got ${JSON.stringify(text)}`)
}

function seconds(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1 && value <= 3600) return value
  throw new AppError('config_invalid', `--wait: expected whole seconds from 1 to 3600, got ${JSON.stringify(text)}`)
}

await runCommand(main, USAGE)
