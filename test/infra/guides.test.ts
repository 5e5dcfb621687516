import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'infra/guides')
const GUIDES = readdirSync(FOLDER).filter((name) => name.endsWith('.md'))
const SCRIPTS = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> })
  .scripts

const textOf = (guide: string): string => readFileSync(join(FOLDER, guide), 'utf8')

/** Every command of a guide, from its blocks and its running text. */
function commandsOf(guide: string): string[] {
  const text = textOf(guide)
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.split('\n'))
  const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
  return [...blocks, ...inline].map((line) => line.trim()).filter((line) => line !== '')
}

/** Runs what stands in a guide as a person would, from the repository's root. */
async function run(command: string, expectedCode = 0): Promise<string> {
  const [program = '', ...rest] = command.split(' ')
  try {
    const { stdout } = await promisify(execFile)(program, rest, { cwd: ROOT, env: { ...process.env, NO_COLOR: '1' } })
    expect(expectedCode).toBe(0)
    return stdout
  } catch (error) {
    const { code, stderr } = error as { code?: number; stderr?: string }
    if (code !== expectedCode) throw new Error(`${command} ended with ${code}: ${stderr}`, { cause: error })
    return stderr ?? ''
  }
}

describe('the guides', () => {
  it('are there for what an operator has to do', () => {
    expect(GUIDES).toEqual(
      expect.arrayContaining(['alarms.md', 'cost-sheet.md', 'first-deploy.md', 'new-bundle.md', 'roll-back.md']),
    )
  })

  it.each(GUIDES)('%s names only scripts, files and guides that exist', (guide) => {
    const text = textOf(guide)
    const scripts = [...text.matchAll(/npm run ([a-z:]+)/g)].map(([, script = '']) => script)
    expect(scripts.filter((script) => !(script in SCRIPTS))).toEqual([])
    const files = [...text.matchAll(/\b((?:infra|gpu-worker|edge|shared)\/[\w./-]+\.(?:ts|json|md|toml))/g)].map(
      ([, file = '']) => file,
    )
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    const guides = [...text.matchAll(/(?<![\w/])([a-z-]+\.md)/g)].map(([, name = '']) => name)
    expect(guides.filter((name) => !existsSync(join(FOLDER, name)))).toEqual([])
  })

  it.each(GUIDES)('%s uses names as they are: environments, stacks, image, secrets', (guide) => {
    const wrangler = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
    const secrets = commandsOf(guide).flatMap((command) => command.match(/secret put (\w+)/)?.[1] ?? [])
    expect(secrets.filter((secret) => !wrangler.includes(`"${secret}"`))).toEqual([])
    const dockerfiles = commandsOf(guide).flatMap((command) => command.match(/docker build -f (\S+)/)?.[1] ?? [])
    expect(dockerfiles.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    const stacks = commandsOf(guide).flatMap((command) => command.match(/cdk\.out (parm-edge-[a-zA-Z]+)/)?.[1] ?? [])
    expect(stacks.filter((stack) => !['parm-edge-registry', 'parm-edge-D'].includes(stack))).toEqual([])
  })

  it('run here what needs no account', async () => {
    // `wrangler deploy --dry-run` and `npm run synth` have tests of their own (environments.test.ts, infra/aws/test).
    expect(commandsOf('new-bundle.md')).toEqual(
      expect.arrayContaining(['npm run models:sync -- --check', 'npm run geneval -- --help']),
    )
    expect(await run('npm run models:sync -- --check')).toContain('is up to date')
    expect(await run('npm run geneval -- --help')).toContain('--prompts')
    expect(await run('npm run simulate -- --help')).toContain('--max-tasks')
    expect(await run('npm run simulate -- --seed x', 2)).toContain('--seed: expected an integer from 0 to 4294967295')
  }, 300_000)

  it('says what 1,000 images cost by the formula that it gives', () => {
    const text = textOf('cost-sheet.md')
    const [, jobs, rowSteps, perSecond, dollars, busy, result] =
      text.match(/(\d+) x (\d+) \/ (\d+) \/ 3600 x ([\d.]+) \/ ([\d.]+) = \*\*\$([\d.]+)\*\*/) ?? []
    const computed = (Number(jobs) * Number(rowSteps)) / Number(perSecond) / 3600 / Number(busy)
    expect(computed * Number(dollars)).toBeCloseTo(Number(result), 3)
    const rows = [...text.matchAll(/^\| (?!\*\*|part|-)[^|]+\|[^|]+\|[^|]+\| \$([\d.]+) \|$/gm)].map(([, price]) =>
      Number(price),
    )
    expect(rows.length).toBeGreaterThan(4)
    const [, together] = text.match(/\*\*together\*\* \| \| \| \*\*\$([\d.]+)\*\*/) ?? []
    expect(rows.reduce((sum, price) => sum + price, 0)).toBeCloseTo(Number(together), 3)
  })
})
