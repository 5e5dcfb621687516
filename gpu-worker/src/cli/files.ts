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
  await makeFolder(resolve(path)).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOTDIR' || cause.code === 'EEXIST' ? 'a file is in the way' : cause.code
    throw new UsageError(`--${flag}: the folder ${path} cannot be made (${why})`, { cause })
  })
  await checkWritable(flag, path)
}

/**
 * Makes sure, before work begins, that a folder is there to be read.
 *
 * @param expected  what should lie in it, in words
 * @throws UsageError  naming flag and path
 */
export async function checkInputFolder(flag: string, path: string, expected: string): Promise<void> {
  const existing = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--${flag}: expected the folder of ${expected}, cannot read ${path} (${cause.code})`, {
      cause,
    })
  })
  if (!existing.isDirectory())
    throw new UsageError(`--${flag}: expected the folder of ${expected}, but ${path} is a file`)
}

/** With those above it. Node's own way of doing that never ends where a file system takes no folders, such as /proc. */
async function makeFolder(path: string): Promise<void> {
  const existing = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return undefined
  })
  if (existing?.isDirectory()) return
  const above = dirname(path)
  if (above !== path) await makeFolder(above)
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    // Another program made it meanwhile.
    if (error.code !== 'EEXIST' || existing) throw error
  })
}

async function checkWritable(flag: string, path: string): Promise<void> {
  await access(path, constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--${flag}: ${path} cannot be written (${cause.code})`, { cause })
  })
}
