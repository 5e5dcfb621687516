import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from './command.ts'
import { BUNDLES_DIR, readModelCard, readVocabulary, type Vocabulary } from './local/models.ts'
import { withModels } from './models-variable.ts'

const CONFIG_PATH = resolve(import.meta.dirname, '../wrangler.toml')
/** Which model knows which words, for the page; and which of them it takes for a style, for the content policy. */
const WORDS_PATH = resolve(import.meta.dirname, '../edge/playground/words.json')
const STYLES_PATH = resolve(import.meta.dirname, '../edge/style-words.json')
const USAGE = `npm run models:sync -- [--check]

Writes the model cards of gpu-worker/bundles/*/manifest.json into MODELS of wrangler.toml, the default bundle first, and
the words that each model knows into edge/playground/words.json and edge/style-words.json.
  --check  changes nothing; fails when wrangler.toml is out of date`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const names = (await readdir(BUNDLES_DIR)).sort()
  const cards = await Promise.all(names.map((name) => readModelCard(join(BUNDLES_DIR, name))))
  const vocabularies = await readVocabularies(names)
  const files = [
    [WORDS_PATH, listed(vocabularies, ({ words }) => words)],
    [STYLES_PATH, listed(vocabularies, ({ styles }) => styles)],
  ] as const
  const found = await Promise.all(files.map(([path]) => readFile(path, 'utf8').catch(() => '')))
  const areCurrent = files.every(([, text], index) => found[index] === text)
  const before = await readFile(CONFIG_PATH, 'utf8')
  const after = withModels(before, cards)
  const revisions = cards.map(({ id, revision }) => `${id} revision ${revision.slice(0, 12)}`).join(', ')
  if (after === before && areCurrent) {
    console.log(`wrangler.toml is up to date: ${revisions}`)
    return 0
  }
  if (values.check) {
    console.error(`wrangler.toml does not list ${revisions}; run npm run models:sync and commit it`)
    return 1
  }
  await writeFile(CONFIG_PATH, after)
  for (const [path, text] of files) await writeFile(path, text)
  console.log(`wrangler.toml now lists ${revisions}`)
  return 0
}

/** By the folder's name, which is the bundle's id; those that read any text are left out. */
async function readVocabularies(names: readonly string[]): Promise<(readonly [string, Vocabulary])[]> {
  const read = await Promise.all(
    names.map(async (name) => [name, await readVocabulary(join(BUNDLES_DIR, name))] as const),
  )
  return read.flatMap(([name, vocabulary]) => (vocabulary ? [[name, vocabulary] as const] : []))
}

function listed(
  vocabularies: readonly (readonly [string, Vocabulary])[],
  part: (vocabulary: Vocabulary) => unknown,
): string {
  return `${JSON.stringify(Object.fromEntries(vocabularies.map(([name, one]) => [name, part(one)])))}\n`
}

await runCommand(main, USAGE)
