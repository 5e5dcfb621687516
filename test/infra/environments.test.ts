import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { type Unstable_Config as Config, unstable_readConfig } from 'wrangler'

const ROOT = resolve(import.meta.dirname, '../..')
const WRANGLER = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
const CONFIG = join(ROOT, 'wrangler.toml')
const ENVIRONMENTS = ['dev', 'staging', 'production'] as const
/** A Worker's first request waits for all of it to be parsed. */
const WORKER_GZIP_BYTES = 150 * 1024
/** A bundler on two busy cores; by itself it takes two seconds. */
const DEPLOY_TIMEOUT_MS = 300_000

const outDir = mkdtempSync(join(tmpdir(), 'parm-dry-run-'))
afterAll(() => rmSync(outDir, { recursive: true }))

const local = unstable_readConfig({ config: CONFIG })
const of = (env: string) => unstable_readConfig({ config: CONFIG, env })

describe.each(ENVIRONMENTS)('the environment %s', (name) => {
  it(
    'builds and is complete: wrangler deploy --dry-run has nothing to warn of',
    async () => {
      const folder = join(outDir, name)
      const { stdout, stderr } = await promisify(execFile)(
        process.execPath,
        [WRANGLER, 'deploy', '--dry-run', '--env', name, '--outdir', folder, '--config', CONFIG],
        { cwd: ROOT, env: { ...process.env, NO_COLOR: '1', WRANGLER_LOG: 'log' } },
      )
      expect(`${stdout}${stderr}`).not.toMatch(/WARNING|ERROR/)
      expect(stdout).toContain(`parm-edge-images-${name}`)
      expect(readdirSync(folder)).toContain('index.js')
      expect(gzipSync(readFileSync(join(folder, 'index.js'))).byteLength).toBeLessThanOrEqual(WORKER_GZIP_BYTES)
    },
    DEPLOY_TIMEOUT_MS,
  )

  it('has every binding, variable and secret of the local service', () => {
    const config = of(name)
    const names = (bindings: readonly { readonly binding?: string; readonly name?: string }[]) =>
      bindings.map((entry) => entry.binding ?? entry.name)
    expect(names(config.durable_objects.bindings)).toEqual(names(local.durable_objects.bindings))
    expect(names(config.r2_buckets)).toEqual(names(local.r2_buckets))
    expect(Object.keys(config.vars).sort()).toEqual(Object.keys(local.vars).sort())
    expect(config.secrets).toEqual(local.secrets)
    expect(config.vars.MODELS).toBe(local.vars.MODELS)
  })

  it('shares no queue, bucket or Worker with another', () => {
    const own = (env: string): unknown[] => {
      const { name: worker, vars, r2_buckets: buckets }: Config = of(env)
      return [
        worker,
        vars.QUEUE_URL_INTERACTIVE,
        vars.QUEUE_URL_BATCH,
        ...buckets.map(({ bucket_name }) => bucket_name),
      ]
    }
    const others = ENVIRONMENTS.filter((other) => other !== name).flatMap(own)
    expect(own(name).filter((value) => others.includes(value))).toEqual([])
    expect(own(name).every((value) => String(value).includes(name))).toBe(true)
  })
})

it('answers nobody in staging and production before a key was made', () => {
  for (const name of ['staging', 'production']) {
    expect(of(name).vars).toMatchObject({ ACCESS: 'keys', ADMIN_KEY_SHA256: '' })
  }
})
