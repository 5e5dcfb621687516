import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from './command.ts'
import { BUNDLES_DIR, readModelCard, readVocabulary } from './local/models.ts'
import { withModels } from './models-variable.ts'

const CONFIG_PATH = resolve(import.meta.dirname, '../wrangler.toml')
const WORDS_PATH = resolve(import.meta.dirname, '../edge/playground/words.json')
const USAGE = `npm run models:sync -- [--check]

Writes the model cards of gpu-worker/bundles/*/manifest.json into MODELS of wrangler.toml, the default bundle first, and
the words that each model knows into edge/playground/words.json.
  --check  changes nothing; fails when wrangler.toml is out of date`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const names = (await readdir(BUNDLES_DIR)).sort()
  const cards = await Promise.all(names.map((name) => readModelCard(join(BUNDLES_DIR, name))))
  const words = await vocabularies(names)
  const before = await readFile(CONFIG_PATH, 'utf8')
  const after = withModels(before, cards)
  const listed = cards.map(({ id, revision }) => `${id} revision ${revision.slice(0, 12)}`).join(', ')
  if (after === before && words === (await readFile(WORDS_PATH, 'utf8').catch(() => ''))) {
    console.log(`wrangler.toml is up to date: ${listed}`)
    return 0
  }
  if (values.check) {
    console.error(`wrangler.toml does not list ${listed}; run npm run models:sync and commit it`)
    return 1
  }
  await writeFile(CONFIG_PATH, after)
  await writeFile(WORDS_PATH, words)
  console.log(`wrangler.toml now lists ${listed}`)
  return 0
}

/** By the folder's name, which is the bundle's id; those that read any text are left out. */
async function vocabularies(names: readonly string[]): Promise<string> {
  const read = await Promise.all(
    names.map(async (name) => [name, await readVocabulary(join(BUNDLES_DIR, name))] as const),
  )
  return `${JSON.stringify(Object.fromEntries(read.filter(([, words]) => words !== undefined)))}\n`
}

await runCommand(main, USAGE)
