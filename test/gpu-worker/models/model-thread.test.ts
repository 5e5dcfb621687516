import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bundle, openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { ThreadClient } from '../../../gpu-worker/src/models/thread-client.ts'
import type { ThreadCalls } from '../../../gpu-worker/src/models/thread-messages.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

describe('the model thread', { timeout: 60_000 }, () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await openBundle(BUNDLE_DIR, { stepSessions: 1 })
  }, 60_000)
  afterAll(() => bundle.close())

  it('leaves the main event loop free while graphs run', async () => {
    const { tokenCount, codebookSize } = bundle.generator
    const prompt = await bundle.generator.prepare('a photo of a red apple')
    const row = {
      tokens: new Int32Array(tokenCount).fill(codebookSize),
      prompt,
      guidance: 2,
      uniform: new Float32Array(tokenCount),
    }
    let turns = 0
    let running = true
    const count = (): void => {
      turns++
      if (running) setImmediate(count)
    }
    setImmediate(count)
    await bundle.generator.step(new Array(8).fill(row))
    running = false
    bundle.generator.release(prompt)
    // A run on this thread would allow two or three turns; a free loop turns thousands of times.
    expect(turns).toBeGreaterThan(50)
  })

  it('answers many calls made at once, each with its own answer', async () => {
    const prompts = await Promise.all(
      ['a cat', 'two dogs', 'a red car', 'a cat'].map((text) => bundle.generator.prepare(text)),
    )
    const { tokenCount, codebookSize } = bundle.generator
    const rows = prompts.map((prompt, index) => ({
      tokens: new Int32Array(tokenCount).fill(codebookSize),
      prompt,
      guidance: 2,
      uniform: new Float32Array(tokenCount).fill((index + 1) / 10),
    }))
    const atOnce = await Promise.all(rows.map((row) => bundle.generator.step([row])))
    for (const [index, row] of rows.entries()) expect(await bundle.generator.step([row])).toEqual(atOnce[index])
    for (const prompt of prompts) bundle.generator.release(prompt)
  })

  it('refuses a step for a prompt that was released, and goes on', async () => {
    const { tokenCount, codebookSize } = bundle.generator
    const tokens = new Int32Array(tokenCount).fill(codebookSize)
    const uniform = new Float32Array(tokenCount)
    const gone = await bundle.generator.prepare('a photo of a zebra')
    bundle.generator.release(gone)
    await expect(bundle.generator.step([{ tokens, prompt: gone, guidance: 1, uniform }])).rejects.toThrow('released')
    const prompt = await bundle.generator.prepare('a photo of a zebra')
    await expect(bundle.generator.step([{ tokens, prompt, guidance: 1, uniform }])).resolves.toHaveLength(1)
    bundle.generator.release(prompt)
  })
})

describe('a model thread that ends by itself', () => {
  const entry = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`)
  const onMessage = (code: string): URL =>
    entry(`import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => { ${code} })`)

  it('fails every open call and every later one with model_failed, and says so', async () => {
    const client = new ThreadClient<ThreadCalls>(onMessage('throw new Error("out of memory")'))
    const open = [client.call('close', undefined), client.call('prefix', { keys: ['a'], ids: new Int32Array(1) })]
    for (const call of open) {
      await expect(call).rejects.toMatchObject({
        code: 'model_failed',
        message: expect.stringContaining('out of memory'),
      })
    }
    await expect(client.died).resolves.toMatchObject({ code: 'model_failed' })
    await expect(client.call('prefix', { keys: ['a'], ids: new Int32Array(1) })).rejects.toThrow('ended unexpectedly')
    client.forget('a')
    await client.close()
  })

  it('does not leave a call open when it exits without an error', async () => {
    const client = new ThreadClient<ThreadCalls>(onMessage('parentPort.close()'))
    await expect(client.call('close', undefined)).rejects.toThrow('ended unexpectedly (exit code 0)')
  })

  it('is not waited for forever by close', async () => {
    const client = new ThreadClient<ThreadCalls>(onMessage('process.exit(3)'))
    await expect(client.close()).rejects.toMatchObject({ code: 'model_failed' })
  })
})
