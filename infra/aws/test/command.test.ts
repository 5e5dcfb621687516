import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../../..')

it('npm run synth writes the template of every deployment, without an account', async () => {
  const { AWS_PROFILE: _, AWS_ACCESS_KEY_ID: __, AWS_SECRET_ACCESS_KEY: ___, ...env } = process.env
  await promisify(execFile)('npm', ['run', 'synth'], { cwd: ROOT, env })
  const templates = readdirSync(resolve(ROOT, 'infra/aws/cdk.out')).filter((file) => file.endsWith('.template.json'))
  expect(templates).toEqual(
    expect.arrayContaining(
      ['registry', 'dev', 'staging', 'production'].map((name) => `parm-edge-${name}.template.json`),
    ),
  )
}, 600_000)
