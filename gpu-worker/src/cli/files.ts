import { constants } from 'node:fs'
import { access, mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { UsageError } from './arguments.ts'

/**
 * Makes sure, before work begins, that a file can be written at its end. Makes the folder it is to lie in.
 *
 * @throws UsageError  naming flag and path
 */
export async function checkOutputFile(flag: string, path: string): Promise<void> {
  const existing = await stat(path).catch(() => undefined)
  if (existing?.isDirectory()) throw new UsageError(`--${flag}: expected a file, but ${path} is a folder`)
  await checkOutputFolder(flag, dirname(resolve(path)))
  if (existing) await checkWritable(flag, path)
}

/** As `checkOutputFile`, for a folder. */
export async function checkOutputFolder(flag: string, path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOTDIR' || cause.code === 'EEXIST' ? 'a file is in the way' : cause.code
    throw new UsageError(`--${flag}: the folder ${path} cannot be made (${why})`, { cause })
  })
  await checkWritable(flag, path)
}

async function checkWritable(flag: string, path: string): Promise<void> {
  await access(path, constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--${flag}: ${path} cannot be written (${cause.code})`, { cause })
  })
}
