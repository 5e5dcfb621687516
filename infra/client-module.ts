import { resolve } from 'node:path'
import { build } from 'esbuild'

const SOURCE = resolve(import.meta.dirname, '../edge/client/client.ts')
export const CLIENT_PATH = resolve(import.meta.dirname, '../edge/playground/client.js')

/** @returns the client as one ES module without types, readable, for browsers of the last two years */
export async function clientModule(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [SOURCE],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    banner: { js: '// @ts-nocheck Made of edge/client by `npm run client:sync`; do not edit.' },
    logLevel: 'error',
  })
  return outputFiles[0]?.text ?? ''
}
