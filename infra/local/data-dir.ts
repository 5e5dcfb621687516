import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../../shared/error-code.ts'

export const newSecret = (): string => randomBytes(32).toString('base64url')

/** What a local stack leaves behind, so that a job under way when it stops goes on when it starts again. */
export interface DataDir {
  readonly edgeDir: string
  readonly queueDir: string
  /** Kept with the messages: they carry keys derived from it, and the edge must still know them. */
  readonly callbackSecret: string
}

/** @throws AppError config_invalid  when the folder cannot be made, read or written */
export function openDataDir(dir: string): DataDir {
  const paths = { edgeDir: join(dir, 'edge'), queueDir: join(dir, 'queue') }
  try {
    for (const path of Object.values(paths)) mkdirSync(path, { recursive: true })
    return { ...paths, callbackSecret: keepSecret(join(dir, 'callback-secret')) }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new AppError('config_invalid', `${dir} cannot hold the data of the local stack: ${why}`, { cause })
  }
}

function keepSecret(path: string): string {
  try {
    writeFileSync(path, newSecret(), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(path, 'utf8')
}
