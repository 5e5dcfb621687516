import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { DOLLARS_PER_TASK_HOUR, ROW_STEPS_PER_SECOND } from '../../infra/fleet-assumptions.ts'
import { COMMANDS, commandsThatRun, GUIDES, guideCommands, guideText } from '../support/guides.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SCRIPTS = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> })
  .scripts

/** Runs what stands in a guide as a person would, from the repository's root. @returns what it printed */
async function run(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)('sh', ['-c', command], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1', WRANGLER_LOG: 'log' },
  })
  return stdout
}

/** What each command that runs here prints, among other things. */
const PRINTS: Readonly<Record<string, RegExp>> = {
  'npm run models:sync -- --check': /is up to date/,
  'npm run geneval -- --help': /--prompts/,
  'npm run keys -- operator': /ADMIN_KEY_SHA256 = "[0-9a-f]{64}"/,
  'npx wrangler deploy --dry-run --env production': /parm-edge-images-production/,
  'npm run simulate -- --traces burst --out out/burst': /"burst":\{"jobs":\d+.*"savedAtEqualWait":0\.\d+/,
}

describe('the guides', () => {
  it('are there for what an operator has to do', () => {
    expect(GUIDES).toEqual(
      expect.arrayContaining([
        ...[
          'alarms.md',
          'cost-sheet.md',
          'first-deploy.md',
          'new-bundle.md',
          'release.md',
          'roll-back.md',
          'scaling.md',
        ],
      ]),
    )
  })

  it.each(GUIDES)('%s names only scripts, files and guides that exist', (guide) => {
    const text = guideText(guide)
    const scripts = [...text.matchAll(/npm run ([a-z:]+)/g)].map(([, script = '']) => script)
    expect(scripts.filter((script) => !(script in SCRIPTS))).toEqual([])
    const files = [
      ...text.matchAll(/(?<![\w/])((?:infra|gpu-worker|edge|shared|test)\/[\w./-]+\.(?:ts|json|md|toml))/g),
    ].map(([, file = '']) => file)
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    const guides = [...text.matchAll(/(?<![\w/])([a-z-]+\.md)/g)].map(([, name = '']) => name)
    expect(guides.filter((name) => !existsSync(join(ROOT, 'infra/guides', name)))).toEqual([])
  })

  it.each(GUIDES)('%s uses names as they are: environments, stacks, image, secrets', (guide) => {
    const wrangler = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8')
    const secrets = guideCommands(guide).flatMap((command) => command.match(/secret put (\w+)/)?.[1] ?? [])
    expect(secrets.filter((secret) => !wrangler.includes(`"${secret}"`))).toEqual([])
    const dockerfiles = guideCommands(guide).flatMap((command) => command.match(/docker build -f (\S+)/)?.[1] ?? [])
    expect(dockerfiles.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    const stacks = guideCommands(guide).flatMap((command) => command.match(/cdk\.out (parm-edge-[a-zA-Z]+)/)?.[1] ?? [])
    expect(stacks.filter((stack) => !['parm-edge-registry', 'parm-edge-D'].includes(stack))).toEqual([])
  })

  it.each(GUIDES)('%s has no command of which nobody knows where it is run', (guide) => {
    expect(guideCommands(guide).filter((command) => !COMMANDS.some(({ is }) => is.test(command)))).toEqual([])
  })

  it('says here what every command prints that is run here', () => {
    expect(Object.keys(PRINTS).sort()).toEqual(commandsThatRun('here').sort())
  })

  it.each(commandsThatRun('here'))(
    '%s does what its guide says',
    async (command) => {
      expect(await run(command)).toMatch(PRINTS[command] ?? /never/)
    },
    600_000,
  )

  it('says what 1,000 images cost by the formula that it gives', () => {
    const text = guideText('cost-sheet.md')
    const [, jobs, rowSteps, perSecond, dollars, busy, result] =
      text.match(/(\d+) x (\d+) \/ (\d+) \/ 3600 x ([\d.]+) \/ ([\d.]+) = \*\*\$([\d.]+)\*\*/) ?? []
    const computed = (Number(jobs) * Number(rowSteps)) / Number(perSecond) / 3600 / Number(busy)
    expect(computed * Number(dollars)).toBeCloseTo(Number(result), 3)
    expect([Number(perSecond), Number(dollars)]).toEqual([ROW_STEPS_PER_SECOND, DOLLARS_PER_TASK_HOUR])
    const rows = [...text.matchAll(/^\| (?!\*\*|part|-)[^|]+\|[^|]+\|[^|]+\| \$([\d.]+) \|$/gm)].map(([, price]) =>
      Number(price),
    )
    expect(rows.length).toBeGreaterThan(4)
    const [, together] = text.match(/\*\*together\*\* \| \| \| \*\*\$([\d.]+)\*\*/) ?? []
    expect(rows.reduce((sum, price) => sum + price, 0)).toBeCloseTo(Number(together), 3)
  })
})
