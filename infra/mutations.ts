import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { BREAKS, type Break } from './mutations/breaks.ts'
import { broken } from './mutations/broken.ts'

const USAGE = `npm run mutations -- [--only WORDS]

Applies each deliberate break of infra/mutations/breaks.ts to a copy of the code and runs the tests that should notice. Prints
who did; ends with 1 where nobody noticed and nothing explains why.
  --only  those whose description holds these words`

const ROOT = resolve(import.meta.dirname, '..')
/** What tests read; packages are linked. */
const COPIED = [
  'edge',
  'gpu-worker',
  'infra',
  'shared',
  'test',
  'wrangler.toml',
  'package.json',
  'vitest.config.ts',
] as const
const LEFT_OUT = /node_modules|\.wrangler|training\/(runs|weights|atlas)/

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { only: text, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const { only = '' } = values
  const chosen = BREAKS.filter(({ what }) => what.includes(only))
  if (chosen.length === 0)
    throw new AppError('config_invalid', `--only: no break is described by ${JSON.stringify(only)}`)
  const copy = await mkdtemp(join(tmpdir(), 'parm-mutations-'))
  try {
    await copyTree(copy)
    await requirePassing(copy, new Set(chosen.flatMap(({ tests }) => tests)))
    const unnoticed: string[] = []
    for (const one of chosen) {
      const by = await noticedBy(copy, one)
      const { what, explanation } = one
      const why = explanation === undefined ? '' : `: ${explanation}`
      console.log(by === undefined ? `NOT NOTICED  ${what}${why}` : `noticed      ${what}  (${by})`)
      if (by === undefined) unnoticed.push(what)
    }
    console.log(JSON.stringify({ breaks: chosen.length, noticed: chosen.length - unnoticed.length, unnoticed }))
    const explained = new Set(chosen.filter(({ explanation }) => explanation).map(({ what }) => what))
    return unnoticed.every((what) => explained.has(what)) ? 0 : 1
  } finally {
    await rm(copy, { recursive: true })
  }
}

async function copyTree(copy: string): Promise<void> {
  for (const name of COPIED) {
    await cp(join(ROOT, name), join(copy, name), { recursive: true, filter: (path) => !LEFT_OUT.test(path) })
  }
  for (const name of ['node_modules', 'tsconfig.base.json']) await symlink(join(ROOT, name), join(copy, name))
}

/** A test that fails anyway notices nothing. @throws AppError internal */
async function requirePassing(copy: string, tests: ReadonlySet<string>): Promise<void> {
  for (const test of tests) {
    if (!(await passes(copy, test))) throw new AppError('internal', `${test} fails without any break`)
  }
}

/** @returns the first file of tests that fails with the break; undefined where none does */
async function noticedBy(copy: string, one: Break): Promise<string | undefined> {
  const path = join(copy, one.file)
  const whole = await readFile(path, 'utf8')
  await writeFile(path, broken(whole, one))
  try {
    for (const test of one.tests) if (!(await passes(copy, test))) return test
    return undefined
  } finally {
    await writeFile(path, whole)
  }
}

function passes(copy: string, test: string): Promise<boolean> {
  const program = join(copy, 'node_modules/vitest/vitest.mjs')
  // What a break makes hang is noticed as well.
  const options = ['run', test, '--bail', '1', '--testTimeout', '30000', '--silent']
  return new Promise((ended) => {
    execFile(process.execPath, [program, ...options], { cwd: copy, timeout: 300_000 }, (error) => ended(error === null))
  })
}

await runCommand(main, USAGE)
