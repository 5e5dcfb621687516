import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { CLIENT_PATH, clientModule } from './client-module.ts'
import { runCommand } from './command.ts'

const USAGE = `npm run client:sync -- [--check]

Makes edge/playground/client.js, which pages load and the service hands out as /client.js, of the sources in edge/client.
  --check  changes nothing; fails when the file is out of date`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const made = await clientModule()
  if ((await readFile(CLIENT_PATH, 'utf8').catch(() => '')) === made) {
    console.log('edge/playground/client.js is up to date')
    return 0
  }
  if (values.check) {
    console.error('edge/playground/client.js is not what edge/client makes; run npm run client:sync and commit it')
    return 1
  }
  await writeFile(CLIENT_PATH, made)
  console.log('edge/playground/client.js is new')
  return 0
}

await runCommand(main, USAGE)
