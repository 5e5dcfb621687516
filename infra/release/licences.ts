import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { AppError } from '../../shared/error-code.ts'

/** What we ship of others: licences that ask for no more than to be named with their text. */
const PERMITTED = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'CC0-1.0', 'ISC', 'MIT'])
const LICENCE_FILE = /^(licen[cs]e|notice|copying)/i

const Lockfile = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      license: z.string().optional(),
      dev: z.boolean().optional(),
      optional: z.boolean().optional(),
      devOptional: z.boolean().optional(),
    }),
  ),
})

export interface ShippedPackage {
  readonly name: string
  readonly version: string
  /** SPDX expression. */
  readonly licence: string
  /** Folder inside the repository. */
  readonly folder: string
}

/** The packages that `npm ci --omit=dev --omit=optional` installs, which is what the worker's image does. */
export function containerPackages(root: string): ShippedPackage[] {
  const { packages } = Lockfile.parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')))
  return Object.entries(packages).flatMap(([folder, { version = '', license = '', ...marks }]) => {
    const isShipped = folder !== '' && !marks.dev && !marks.optional && !marks.devOptional
    return isShipped ? [{ name: nameOf(folder), version, licence: license, folder }] : []
  })
}

const Metafile = z.object({ inputs: z.record(z.string(), z.unknown()) })

/**
 * The packages whose code is in the Worker.
 *
 * @param metafile  esbuild's account of the build, as wrangler writes it
 */
export function workerPackages(root: string, metafile: string): ShippedPackage[] {
  const { inputs } = Metafile.parse(JSON.parse(readFileSync(metafile, 'utf8')))
  const folders = new Set(
    Object.keys(inputs).flatMap((path) => path.match(/node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0] ?? []),
  )
  return [...folders].sort().map((folder) => {
    const { version, license } = z
      .object({ version: z.string(), license: z.string().default('') })
      .parse(JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')))
    return { name: nameOf(folder), version, licence: license, folder }
  })
}

const nameOf = (folder: string): string => folder.split('node_modules/').at(-1) ?? folder

/** @throws AppError config_invalid  naming every package whose licence nobody has looked at yet */
export function checkLicences(packages: readonly ShippedPackage[]): void {
  const doubtful = packages.filter(({ licence }) => !isPermitted(licence))
  if (doubtful.length === 0) return
  const named = doubtful.map(({ name, licence }) => `${name} (${licence || 'none stated'})`).join(', ')
  throw new AppError('config_invalid', `may these be shipped? ${named}; permitted so far: ${[...PERMITTED].join(', ')}`)
}

/** Of `(MIT OR CC0-1.0)` one will do; of `MIT AND X` all must. */
function isPermitted(expression: string): boolean {
  const text = expression.replaceAll(/[()]/g, '')
  return text.split(/ OR /).some((choice) => choice.split(/ AND /).every((licence) => PERMITTED.has(licence.trim())))
}

export interface ShippedMaterial {
  readonly worker: readonly ShippedPackage[]
  readonly container: readonly ShippedPackage[]
  /** Base images, `image: what of it`. */
  readonly images: readonly string[]
  readonly bundles: readonly { readonly id: string; readonly license: string }[]
}

/** What is shipped, under which licence and where, with every licence's text. */
export function licenceReport(root: string, { worker, container, images, bundles }: ShippedMaterial): string {
  const all = new Map([...container, ...worker].map((shipped) => [shipped.folder, shipped]))
  const places = (folder: string): string =>
    [
      ...(worker.some((one) => one.folder === folder) ? ['Worker'] : []),
      ...(container.some((one) => one.folder === folder) ? ['container'] : []),
    ].join(', ')
  const sorted = [...all.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  return [
    '# Licences of what is shipped',
    '',
    'parm-edge itself: Apache-2.0 (LICENSE); drawings, prompts and methods it builds on: NOTICE.',
    '',
    '| package | version | licence | in |',
    '|---|---|---|---|',
    ...sorted.map(({ name, version, licence, folder }) => `| ${name} | ${version} | ${licence} | ${places(folder)} |`),
    '',
    ...bundles.map(({ id, license }) => `- Bundle ${id}: ${license}`),
    ...images.map((image) => `- Base image ${image}`),
    '',
    ...sorted.flatMap(({ name, version, licence, folder }) => [
      `## ${name} ${version}`,
      '',
      ...textsOf(join(root, folder), licence),
      '',
    ]),
  ].join('\n')
}

function textsOf(folder: string, licence: string): string[] {
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => LICENCE_FILE.test(file)) : []
  if (files.length === 0) return [`(The package brings no text of its own: https://spdx.org/licenses/${licence}.html)`]
  return files.map((file) => ['```', readFileSync(join(folder, file), 'utf8').trim(), '```'].join('\n'))
}
