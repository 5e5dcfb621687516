import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const FOLDER = resolve(import.meta.dirname, '../../infra/guides')
export const GUIDES = readdirSync(FOLDER).filter((name) => name.endsWith('.md'))

export const guideText = (guide: string): string => readFileSync(join(FOLDER, guide), 'utf8')

/** Every command of a guide as a person types it: from its blocks, lines that go on joined, and from its running text. */
export function guideCommands(guide: string): string[] {
  const text = guideText(guide)
  const blocks = [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].flatMap(([, block = '']) =>
    block.replaceAll(/\|\n\s*/g, '| ').split('\n'),
  )
  const inline = [...text.matchAll(/`((?:npm run|npx|curl|aws) [^`\n]+)`/g)].map(([, code = '']) => code)
  return [...blocks, ...inline].map((line) => line.trim()).filter((line) => line !== '')
}

/**
 * Where a command of the guides is run by a test: in which file, or why in none.
 *
 * account  it asks AWS, Cloudflare or a registry
 * here     `guides.test.ts` runs it as it stands
 * aws      `infra/aws/test` runs it, where its packages are
 * stack    `guide-commands.test.ts` runs it against the whole local service
 * own      another test runs it, with less work or in a copy, because it takes the machine for itself or writes what is committed
 */
export const COMMANDS: readonly { readonly is: RegExp; readonly runs: 'account' | 'here' | 'aws' | 'stack' | 'own' }[] =
  [
    {
      is: /^aws |^npx aws-cdk|^docker |docker login|^npx wrangler (r2|secret|deployments|rollback|deploy out)/,
      runs: 'account',
    },
    {
      is: /^(TAG|REGISTRY|KEY)=|^echo "\$KEY"|^unset KEY|^npm run doctor -- --env|^curl -X POST -H "Authorization: Bearer \$CF_TOKEN"|^"https:\/\/api\.cloudflare/,
      runs: 'account',
    },
    { is: /^npm run synth$/, runs: 'aws' },
    {
      is: /^npx wrangler deploy --dry-run --env production$|^npm run simulate -- --traces burst --out out\/burst$/,
      runs: 'here',
    },
    { is: /^npm run (models:sync -- --check|geneval -- --help|keys -- operator)$/, runs: 'here' },
    {
      is: /^npm run keys -- (create|budget|show|erase|revoke)|^curl -X DELETE|^npm run redrive -- (list|move)$/,
      runs: 'stack',
    },
    // test/infra/release.test.ts, models-variable.test.ts, simulate.test.ts and gpu-worker/bench/bench-engine.test.ts.
    {
      is: /^npm run release -- |^git commit -am "Release|^npm run models:sync$|^npm run bench:engine$|^npm run redrive$/,
      runs: 'own',
    },
    { is: /^npm run simulate( -- --(check|measure))?$/, runs: 'own' },
    // The same commands over their own queue: end-to-end/start-command.test.ts and chaos.test.ts; the flags, infra/outside-queue.test.ts.
    { is: /^npm (start|run chaos|run soak) -- --queue-url-interactive/, runs: 'own' },
  ]

/** Of all guides, those that a test has to run there. */
export function commandsThatRun(where: (typeof COMMANDS)[number]['runs']): string[] {
  const all = new Set(GUIDES.flatMap(guideCommands))
  return [...all].filter((command) => COMMANDS.find(({ is }) => is.test(command))?.runs === where)
}
