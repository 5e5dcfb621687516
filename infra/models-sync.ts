import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from './command.ts'
import { BUNDLES_DIR, readModelCard } from './local/models.ts'
import { withModels } from './models-variable.ts'

const CONFIG_PATH = resolve(import.meta.dirname, '../wrangler.toml')
const USAGE = `npm run models:sync -- [--check]

Writes the model cards of gpu-worker/bundles/*/manifest.json into MODELS of wrangler.toml, the default bundle first.
  --check  changes nothing; fails when wrangler.toml is out of date`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const names = (await readdir(BUNDLES_DIR)).sort()
  const cards = await Promise.all(names.map((name) => readModelCard(join(BUNDLES_DIR, name))))
  const before = await readFile(CONFIG_PATH, 'utf8')
  const after = withModels(before, cards)
  const listed = cards.map(({ id, revision }) => `${id} revision ${revision.slice(0, 12)}`).join(', ')
  if (after === before) {
    console.log(`wrangler.toml is up to date: ${listed}`)
    return 0
  }
  if (values.check) {
    console.error(`wrangler.toml does not list ${listed}; run npm run models:sync and commit it`)
    return 1
  }
  await writeFile(CONFIG_PATH, after)
  console.log(`wrangler.toml now lists ${listed}`)
  return 0
}

await runCommand(main, USAGE)
