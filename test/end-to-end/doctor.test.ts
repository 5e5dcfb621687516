import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { examine } from '../../infra/doctor/examination.ts'
import type { Finding } from '../../infra/doctor/finding.ts'
import { queueName } from '../../infra/local/queue.ts'
import { type LocalStack, startStack } from '../../infra/local/stack.ts'
import { LANES } from '../../shared/job.ts'

/** The doctor in front of the whole local service, well and ill. */
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })
Object.assign(process.env, { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' })
const DOCTOR = resolve(import.meta.dirname, '../../infra/doctor.ts')

let stack: LocalStack
beforeAll(async () => {
  stack = await startStack()
})
afterAll(() => stack?.stop())

const look = (waitSeconds: number | undefined): Promise<Finding[]> =>
  examine({
    url: stack.url,
    deployment: undefined,
    queues: new Map(LANES.map((lane) => [lane, stack.queue.urls[lane]])),
    workers: stack.workers.map(({ healthUrl }) => healthUrl),
    waitSeconds,
    keys: { api: undefined, operator: undefined },
    onFinding: () => {},
  })

const brief = (findings: readonly Finding[]) => findings.map(({ part, state }) => `${part}: ${state}`)

describe('the doctor', () => {
  it('finds a service that works well, part by part, and has it draw a picture', async () => {
    const findings = await look(240)
    expect(findings.filter(({ state }) => state !== 'ok')).toEqual([])
    expect(brief(findings)).toEqual(
      [
        ...['edge', 'storage', 'models', 'access'],
        ...['queue interactive', 'queue interactive', 'queue batch', 'queue batch'],
        ...['worker', 'picture', 'image', 'cache'],
      ].map((part) => `${part}: ok`),
    )
    expect(findings.find(({ part }) => part === 'picture')?.what).toMatch(
      /^drawn in [\d.]+ s: .*row-steps, \d+ verdicts$/,
    )
  })

  it('as a command ends with 1 where the edge is not there, and says what to look at', async () => {
    const args = [DOCTOR, '--url', 'http://127.0.0.1:9', '--worker', stack.workers[0]?.healthUrl ?? '']
    const run = await new Promise<{ code: unknown; stdout: string }>((done) => {
      execFile(process.execPath, args, (error, stdout) => done({ code: error?.code, stdout }))
    })
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(/^wrong +edge +http:\/\/127\.0\.0\.1:9 cannot be reached/m)
    expect(run.stdout).toMatch(/^ok +worker +worker-1 is ready on cpu/m)
    expect(JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '')).toEqual({ ok: 1, wrong: 1, skipped: 0 })
  })

  it('tells that workers are missing from that something else is, and finds dead letters', async () => {
    await stack.workers[0]?.kill()
    // Its last look at the dead letters still waits at the queue for a second, and would take the one that is sent now.
    await delay(1500)
    stack.queue.server?.sendMessage(`${queueName('batch')}-dead`, 'not JSON')
    const findings = await look(2)
    const wrong = findings.filter(({ state }) => state === 'wrong')
    expect(brief(wrong)).toEqual(['queue batch: wrong', 'worker: wrong', 'picture: wrong'])
    expect(wrong[0]?.what).toBe('1 dead letters')
    expect(wrong[2]?.what).toMatch(/^no worker claimed job_\w+ in 2 s$/)
    // The message of the picture that nobody drew is still there: waiting, or handed to the killed worker's last receive.
    const after = await look(undefined)
    const interactive = after.find(({ part }) => part === 'queue interactive')
    expect([
      { state: 'wrong', what: '1 waiting, 0 being worked on: nobody takes them' },
      { state: 'ok', what: '0 waiting, 1 being worked on' },
    ]).toContainEqual({ state: interactive?.state, what: interactive?.what })
  })
})
