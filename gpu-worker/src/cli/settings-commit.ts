import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { SettingsCommit } from '../geneval/recording/origin.ts'
import { MANIFEST_FILE } from '../models/bundle-files.ts'

const run = promisify(execFile)
/** The second says what the words for quality stand for, where a bundle has it. */
const SETTINGS = [MANIFEST_FILE, 'operating-points.json']

/** @returns null where git does not answer for the bundle's folder, or no commit has its settings */
export async function settingsCommit(bundleDir: string): Promise<SettingsCommit | null> {
  const git = async (...words: string[]): Promise<string> =>
    (await run('git', ['-C', bundleDir, ...words, '--', ...SETTINGS])).stdout.trim()
  try {
    const [commit, date] = (await git('log', '-1', '--format=%H %cI')).split(' ')
    if (commit === undefined || date === undefined) return null
    return { commit, date, isClean: (await git('status', '--porcelain')) === '' }
  } catch {
    return null
  }
}
