import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDataDir } from '../../infra/local/data-dir.ts'
import { queueName, startQueue } from '../../infra/local/queue.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'local-data-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

describe('the data of a local stack', () => {
  it('keeps the secret that queued messages depend on, for its owner only', () => {
    const first = openDataDir(join(dir, 'port-1'))
    expect(first.callbackSecret).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(openDataDir(join(dir, 'port-1'))).toEqual(first)
    expect(statSync(join(dir, 'port-1', 'callback-secret')).mode & 0o777).toBe(0o600)
    expect(openDataDir(join(dir, 'port-2')).callbackSecret).not.toBe(first.callbackSecret)
  })

  it('keeps queued messages over a restart', async () => {
    const { queueDir } = openDataDir(dir)
    const before = await startQueue(0, queueDir)
    before.server.sendMessage(queueName('batch'), 'a job')
    await before.stop()
    const after = await startQueue(0, queueDir)
    const { messages, attributes } = after.server.inspectQueue(queueName('batch')) ?? {}
    expect(messages?.ready.map(({ body }) => body)).toEqual(['a job'])
    expect(attributes?.RedrivePolicy).toContain('parm-batch-dead')
    await after.stop()
  })

  it('says so when its folder is not usable', () => {
    const file = join(dir, 'a-file')
    writeFileSync(file, '')
    expect(() => openDataDir(file)).toThrow(`${file} cannot hold the data of the local stack`)
  })
})
