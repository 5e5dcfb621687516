/** Files that a kill at any moment leaves usable: whole ones are replaced at once, growing ones lose their cut tail. */
import { appendFile, readFile, rename, truncate, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { AppError } from '../../../shared/error-code.ts'

/** Writes beside the target and renames, so that a reader sees the old text or the new one, never a part. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const beside = `${path}.new`
  await writeFile(beside, text)
  await rename(beside, path)
}

export async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

/** @throws AppError `invalid_request`  naming `where` and what was expected of the text there */
export function parseJson<T>(text: string, schema: z.ZodType<T>, where: string): T {
  let json: unknown
  try {
    json = JSON.parse(withoutByteOrderMark(text))
  } catch (cause) {
    throw new AppError('invalid_request', `${where} is not JSON`, { cause })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  throw new AppError('invalid_request', `${where} was not written by this program: ${z.prettifyError(parsed.error)}`)
}

/**
 * Reads the lines of a file. The last one is not among them while it is being written, or where a kill cut it short.
 *
 * @returns nothing for a file that is not there
 */
export async function readWholeLines(path: string): Promise<string[]> {
  return wholeLines((await readIfThere(path)) ?? '')
    .split('\n')
    .slice(0, -1)
}

/** The same for whoever is to append: a line that was cut short is removed, and what it told must be made again. */
export async function resumeLines(path: string): Promise<string[]> {
  const text = (await readIfThere(path)) ?? ''
  const whole = wholeLines(text)
  if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole))
  return whole.split('\n').slice(0, -1)
}

function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1)
}

/** Appends to one file in the order of the calls; two at once would mix their bytes where a write is split. */
export class Appender {
  readonly path: string
  #last: Promise<void> = Promise.resolve()

  constructor(path: string) {
    this.path = path
  }

  append(data: string | Uint8Array): Promise<void> {
    const written = this.#last.then(() => appendFile(this.path, data))
    // Whoever appended sees the failure; the next one tries for itself.
    this.#last = written.catch(() => {})
    return written
  }
}

/**
 * Writes the configuration of a new folder, or checks that the folder was begun with the same one.
 *
 * @param holder  for messages: "--out DIR holds a run"
 * @throws AppError `invalid_request`  naming each difference
 */
export async function keepConfiguration(path: string, configuration: object, holder: string): Promise<void> {
  const text = await readIfThere(path)
  if (text === undefined) return writeWhole(path, `${JSON.stringify(configuration, null, 2)}\n`)
  const earlier: Record<string, unknown> = parseJson(text, z.record(z.string(), z.unknown()), `${holder}, but ${path}`)
  const differences = Object.entries(configuration)
    .filter(([name, value]) => JSON.stringify(earlier[name]) !== JSON.stringify(value))
    .map(([name, value]) => `${name} was ${JSON.stringify(earlier[name])} and is now ${JSON.stringify(value)}`)
  if (differences.length === 0) return
  throw new AppError(
    'invalid_request',
    `${holder} with another configuration (${differences.join('; ')}); choose another folder or remove it`,
  )
}
