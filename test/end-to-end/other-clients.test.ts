import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signWebhook, webhookSecret } from '../../edge/webhook-signature.ts'
import { findChromium } from '../../infra/chromium.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'

/**
 * The clients that people really use, unmodified and with their defaults, against the whole service with the aliases that
 * docs/clients.md names.
 */

const ROOT = resolve(import.meta.dirname, '../..')
const CLIENTS = join(ROOT, 'test/clients')
const PYTHON = join(ROOT, '.venv/bin/python')
const hasPython = [PYTHON, join(ROOT, '.venv/bin/st'), join(ROOT, '.venv-proxy/bin/litellm')].every(existsSync)
const hasNode = existsSync(join(CLIENTS, 'node_modules/ai'))
const executablePath = findChromium()
if (!hasPython)
  console.warn('Clients for Python are not tried: no .venv and .venv-proxy; .ci/run makes both of test/clients/*.txt.')
if (!hasNode)
  console.warn('Clients for Node are not tried: `npm ci --prefix test/clients` installs them, .ci/run does.')
if (!executablePath) console.warn('The Node client is not tried in a browser: no Chromium found.')

const ALIASES = JSON.stringify({ 'dall-e-2': 'emoji-96', 'dall-e-3': 'emoji-96', 'gpt-image-1': 'emoji-96' })
/** Imports of large packages and whole jobs, on a machine that may be busy. */
const PATIENT_MS = 600_000

let stack: LocalStack
beforeAll(async () => {
  stack = await startStack({ edgeSettings: { MODEL_ALIASES: ALIASES }, permittedOrigins: ['*'] })
}, PATIENT_MS)
afterAll(() => stack?.stop())

interface Tried {
  readonly name: string
  readonly ok: boolean
  readonly got: unknown
}

/** What each check of a program said, by its name. */
async function tryAll(program: string, script: string): Promise<Map<string, Tried>> {
  const SIGNED_WEBHOOK = JSON.stringify(await signedWebhook())
  const child = spawn(program, [join(CLIENTS, script), stack.url], {
    cwd: CLIENTS,
    env: { ...process.env, SIGNED_WEBHOOK, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const tried = new Map<string, Tried>()
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"name"')) continue
    const result: Tried = JSON.parse(line)
    tried.set(result.name, result)
  }
  return tried
}

/** As the edge signs them, now: receivers look at the time. */
async function signedWebhook() {
  const [master, tenant, body] = ['a secret of the edge', 'acme', JSON.stringify({ type: 'job.succeeded', data: {} })]
  const headers = await signWebhook(master, tenant, 'msg_1', Math.floor(Date.now() / 1000), body)
  return { secret: await webhookSecret(master, tenant), body, headers }
}

describe.skipIf(!hasPython)('a client for Python, as it comes:', () => {
  let tried: Map<string, Tried>
  beforeAll(async () => {
    tried = await tryAll(PYTHON, 'python_clients.py')
  }, PATIENT_MS)

  it.each([
    'openai_sync',
    'openai_several',
    'openai_async',
    'openai_stream',
    'openai_stream_async',
    'openai_models',
    'openai_errors',
    'litellm_image',
    'litellm_proxy',
    'langchain_dalle',
    'llama_index_tool',
    'websockets_events',
    'webhook_signature',
    'openapi_document',
    'generated_client',
    'openapi_generator_python',
    'openapi_generator_typescript',
    'schemathesis',
  ])('%s', (name) => {
    expect(tried.get(name)).toEqual({ name, ok: true, got: expect.anything() })
  })
})

describe.skipIf(!hasNode)('a client for Node, as it comes:', () => {
  let tried: Map<string, Tried>
  beforeAll(async () => {
    tried = await tryAll(process.execPath, 'node-clients.mjs')
  }, PATIENT_MS)

  it.each([
    'openaiGenerate',
    'openaiStream',
    'aiSdk',
    'langchain',
    'eventSource',
    'ws',
    'webhookSignature',
    'openapiDocument',
    'spectralDocument',
    'generatedTypes',
  ])('%s', (name) => {
    expect(tried.get(name)).toEqual({ name, ok: true, got: expect.anything() })
  })
})

describe.skipIf(!executablePath)('the official client in a page of another origin', () => {
  let page: Server
  beforeAll(async () => {
    const script = await build({
      stdin: { contents: PAGE_SCRIPT, resolveDir: ROOT },
      bundle: true,
      format: 'iife',
      platform: 'browser',
      write: false,
      logLevel: 'error',
    })
    page = createServer((request, response) => {
      const isScript = request.url === '/page.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      response.end(isScript ? script.outputFiles[0]?.text : '<!doctype html><script src="/page.js"></script>')
    })
    await new Promise<void>((listening) => page.listen(0, '127.0.0.1', listening))
  }, PATIENT_MS)
  afterAll(() => new Promise((closed) => page?.close(closed)))

  it(
    'gets a picture, a stream, the models, and an error with its request id',
    async () => {
      const browser = await chromium.launch({
        executablePath: executablePath ?? '',
        args: ['--no-sandbox', '--disable-gpu'],
      })
      try {
        const tab = await browser.newPage()
        tab.setDefaultTimeout(PATIENT_MS)
        await tab.goto(`http://127.0.0.1:${(page.address() as AddressInfo).port}/`)
        const told = await tab.evaluate((origin) => (globalThis as unknown as PageWindow).tryClient(origin), stack.url)
        expect(told).toEqual({
          hasPicture: true,
          lastEvent: 'image_generation.completed',
          models: ['emoji-96'],
          refused: { status: 404, requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
        })
      } finally {
        await browser.close()
      }
    },
    PATIENT_MS,
  )
})

interface PageWindow {
  tryClient(origin: string): Promise<unknown>
}

const PAGE_SCRIPT = `
import OpenAI from 'openai'
globalThis.tryClient = async (origin) => {
  const client = new OpenAI({ apiKey: 'any', baseURL: origin + '/v1', dangerouslyAllowBrowser: true, maxRetries: 0 })
  const asked = { model: 'dall-e-3', prompt: 'a photo of a red apple' }
  const { data } = await client.images.generate(asked)
  const picture = await fetch(data[0].url)
  let lastEvent
  for await (const event of await client.images.generate({ ...asked, stream: true })) lastEvent = event.type
  const models = []
  for await (const { id } of client.models.list()) models.push(id)
  const refused = await client.images.generate({ ...asked, model: 'sdxl' }).catch(({ status, requestID }) => ({ status, requestId: requestID }))
  return { hasPicture: picture.headers.get('content-type') === 'image/png', lastEvent, models, refused }
}
`
