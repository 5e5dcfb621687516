import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ParmClient } from '../../edge/client/client.ts'
import { queueName } from '../../infra/local/queue.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import { commandsThatRun } from '../support/guides.ts'

/** What the guides tell an operator to type at a running service, typed at the local one, closed as a deployment is. */
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 })
const ROOT = resolve(import.meta.dirname, '../..')
const OPERATOR_KEY = 'operator_of-the-guides'

let stack: LocalStack
beforeAll(async () => {
  stack = await startStack({ adminKeyHash: createHash('sha256').update(OPERATOR_KEY).digest('hex') })
})
afterAll(() => stack?.stop())

async function type(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', command], {
    cwd: ROOT,
    env: {
      ...process.env,
      PARM_EDGE_URL: stack.url,
      PARM_OPERATOR_KEY: OPERATOR_KEY,
      PARM_QUEUE_URL_INTERACTIVE: stack.queue.urls.interactive,
      PARM_QUEUE_URL_BATCH: stack.queue.urls.batch,
      AWS_REGION: stack.queue.region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    },
  })
  return stdout
}

/** A job of the key's, once it has ended. */
async function finishedJob(key: string): Promise<string> {
  const client = new ParmClient({ baseUrl: stack.url, apiKey: key })
  const small = { candidates: 1, strategy: 'baseline', steps: 4, deadlineMs: 600_000 } as const
  const { id } = await client.jobs.create({ prompt: 'a photo of a red apple', ...small })
  await client.jobs.waitForEnd(id)
  return id
}

describe('an operator who follows the guides', () => {
  it('makes a key, bounds it, looks at it, takes a result back, revokes the key, and sorts dead letters', async () => {
    stack.queue.server?.sendMessage(`${queueName('batch')}-dead`, 'not JSON')
    const commands = commandsThatRun('stack')
    const typed = (pattern: RegExp) => commands.filter((command) => pattern.test(command))
    const [create = ''] = typed(/^npm run keys -- create acme/)
    const key = (await type(`${create} 2>&1`)).match(/pk_acme_\S+/)?.[0] ?? ''
    const id = await finishedJob(key)
    const { result } = await new ParmClient({ baseUrl: stack.url, apiKey: key }).jobs.get(id)
    const ofKey = { TENANT: 'acme', ROW_STEPS: '1000', ID: key.split('_')[2] ?? '' }
    const names: Record<string, string> = { JOB_ID: id, SHA256: result?.image.sha256 ?? '', ...ofKey }
    const filledIn = (command: string) =>
      command.replaceAll(/\b(JOB_ID|SHA256|TENANT|ROW_STEPS|ID)\b/g, (name) => names[name] ?? name)

    const expected: [RegExp, RegExp][] = [
      [/^npm run keys -- create TENANT/, /pk_acme_/],
      [/^npm run keys -- budget acme/, /^acme: \d+ of 2000000 row-steps/m],
      [/^npm run keys -- budget TENANT/, /^acme: \d+ of 1000 row-steps/m],
      [/^npm run keys -- show/, /the shop/],
      [/^curl/, /./],
      [/^npm run keys -- revoke/, /opens nothing since/],
      [/^npm run keys -- erase/, /is forgotten/],
      [/^npm run redrive -- list/, /\d+ found/],
      [/^npm run redrive -- move/, /\d+ moved/],
    ]
    const seen = [create]
    for (const [pattern, prints] of expected) {
      for (const command of typed(pattern)) {
        const text = filledIn(command).replace('curl ', 'curl -sS --fail-with-body -w "%{http_code}" ')
        expect(await type(`${text} 2>&1`), command).toMatch(prints)
        seen.push(command)
      }
    }
    expect(seen.sort()).toEqual(commands.sort())
    const revoked = new ParmClient({ baseUrl: stack.url, apiKey: key })
    await expect(revoked.jobs.list()).rejects.toMatchObject({ code: 'unauthorized' })
  })
})
