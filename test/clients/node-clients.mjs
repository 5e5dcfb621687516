/**
 * Clients of others for Node, as they come, against a running service: one line of JSON for each that was tried.
 *
 *     node node-clients.mjs ORIGIN [NAME ...]
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createOpenAI } from '@ai-sdk/openai'
import { DallEAPIWrapper } from '@langchain/openai'
import { generateImage } from 'ai'
import { EventSource } from 'eventsource'
import OpenAI from 'openai'
import createClient from 'openapi-fetch'
import { Webhook } from 'standardwebhooks'
import WebSocket from 'ws'

const [origin, ...names] = process.argv.slice(2)
const HERE = import.meta.dirname
const PROMPT = 'a photo of a red apple'

function requirePng(bytes, side) {
  const header = Buffer.from(bytes)
  if (header.subarray(1, 4).toString() !== 'PNG') throw new Error(`no PNG: ${header.subarray(0, 8).toString('hex')}`)
  const width = header.readUInt32BE(16)
  if (side !== undefined && side !== width) throw new Error(`${width} pixels wide`)
  return `PNG of ${width} pixels`
}

const fetchBytes = async (url) => (await fetch(url)).arrayBuffer()

async function newJob(seed) {
  const body = JSON.stringify({ prompt: PROMPT, seed, quality: 'low' })
  const headers = { 'content-type': 'application/json' }
  return (await fetch(`${origin}/v1/jobs`, { method: 'POST', headers, body })).json()
}

const openai = new OpenAI({ apiKey: 'any', baseURL: `${origin}/v1` })

const CHECKS = {
  async openaiGenerate() {
    const { data } = await openai.images.generate({
      model: 'dall-e-3',
      prompt: PROMPT,
      size: '512x512',
      style: 'vivid',
    })
    return requirePng(await fetchBytes(data[0].url), 512)
  },
  async openaiStream() {
    const types = []
    const asked = { prompt: PROMPT, stream: true, partial_images: 1, seed: 12 }
    for await (const event of await openai.images.generate(asked)) types.push(event.type)
    if (types.at(-1) !== 'image_generation.completed' || types.length < 2) throw new Error(types.join())
    return types
  },
  async aiSdk() {
    const { image } = createOpenAI({ apiKey: 'any', baseURL: `${origin}/v1` })
    const { images } = await generateImage({ model: image('dall-e-3'), prompt: PROMPT, n: 3, size: '1024x1024' })
    if (images.length !== 3) throw new Error(`${images.length} pictures`)
    return requirePng(images[0].uint8Array, 1024)
  },
  async langchain() {
    const url = await new DallEAPIWrapper({ apiKey: 'any', baseUrl: `${origin}/v1` }).invoke(PROMPT)
    return requirePng(await fetchBytes(url), 1024)
  },
  async eventSource() {
    const { eventsUrl } = await newJob(22)
    return new Promise((resolve, reject) => {
      const source = new EventSource(eventsUrl)
      source.addEventListener('succeeded', ({ data }) => {
        source.close()
        resolve(JSON.parse(data).result.reason)
      })
      source.addEventListener('error', reject)
    })
  },
  async ws() {
    const { eventsUrl } = await newJob(23)
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(eventsUrl.replace('http', 'ws'))
      socket.on('error', reject)
      socket.on('close', (code) =>
        code === 1000 ? resolve('closed normally') : reject(new Error(`closed with ${code}`)),
      )
    })
  },
  async webhookSignature() {
    const { secret, body, headers } = JSON.parse(process.env.SIGNED_WEBHOOK)
    return new Webhook(secret).verify(body, headers).type
  },
  async openapiDocument() {
    const document = await (await fetch(`${origin}/openapi.json`)).text()
    return inFolder(async (folder) => {
      writeFileSync(join(folder, 'openapi.json'), document)
      // Ends with a status other than 0 where there is an error.
      await run('@redocly/cli/bin/cli.js', 'lint', join(folder, 'openapi.json'), '--format=summary')
      return 'no errors'
    })
  },
  async spectralDocument() {
    const document = await (await fetch(`${origin}/openapi.json`)).text()
    return inFolder(async (folder) => {
      writeFileSync(join(folder, 'openapi.json'), document)
      writeFileSync(join(folder, '.spectral.yaml'), 'extends: ["spectral:oas"]\n')
      const rules = ['--ruleset', join(folder, '.spectral.yaml')]
      await run('@stoplight/spectral-cli/dist/index.js', 'lint', join(folder, 'openapi.json'), ...rules)
      return 'no errors'
    })
  },
  /** The types compile, strictly, and a client over them gets a picture. */
  async generatedTypes() {
    const document = await (await fetch(`${origin}/openapi.json`)).text()
    await inFolder(async (folder) => {
      writeFileSync(join(folder, 'openapi.json'), document)
      await run('openapi-typescript/bin/cli.js', join(folder, 'openapi.json'), '-o', join(folder, 'schema.d.ts'))
      writeFileSync(join(folder, 'typed.ts'), TYPED_CLIENT)
      const strict = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022']
      await run('typescript/bin/tsc', ...strict, join(folder, 'typed.ts'))
    })
    const client = createClient({ baseUrl: origin })
    const { data } = await client.POST('/v1/images/generations', { body: { prompt: PROMPT } })
    return requirePng(Buffer.from(data.data[0].b64_json, 'base64'))
  },
}

/** Compiled against the types that were made of the document. */
const TYPED_CLIENT = `
import createClient from 'openapi-fetch'
import type { components, paths } from './schema.js'
const client = createClient<paths>({ baseUrl: 'http://127.0.0.1' })
export async function picture(prompt: string): Promise<{ png: string; alignment: number | undefined }> {
  const { data, error } = await client.POST('/v1/images/generations', { body: { prompt, quality: 'high', parm: { seed: null } } })
  if (error !== undefined) throw new Error(error.detail)
  if (typeof data === 'string' || !('data' in data)) throw new Error('no picture')
  return { png: data.data[0]?.b64_json ?? '', alignment: data.parm.alignment }
}
export function ending(event: components['schemas']['JobEvent']): string {
  return event.type === 'succeeded' ? event.result.image.sha256 : event.type
}
`

/** Inside this folder, so that packages are found. */
async function inFolder(action) {
  const folder = mkdtempSync(join(HERE, '.generated-'))
  try {
    return await action(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Not the blocking form: connections that the service closes meanwhile have to be seen closing. */
async function run(program, ...args) {
  try {
    await promisify(execFile)(process.execPath, [join(HERE, 'node_modules', program), ...args], { cwd: tmpdir() })
  } catch (error) {
    throw new Error(`${program}: ${error.stdout}${error.stderr}`)
  }
}

for (const name of names.length > 0 ? names : Object.keys(CHECKS)) {
  const result = await CHECKS[name]().then(
    (got) => ({ name, ok: true, got }),
    (error) => ({ name, ok: false, got: String(error?.stack ?? error).slice(0, 2000) }),
  )
  console.log(JSON.stringify(result))
}
process.exit()
