import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { MANIFEST_FILE } from '../models/bundle-files.ts'

const run = promisify(execFile)

/**
 * What git knows of when a bundle's settings were chosen, beside when a recording was begun: a paragraph for its report.
 *
 * @param recordingFile  written when the recording was begun, and never after
 */
export async function frozenSettings(bundleDir: string, recordingFile: string): Promise<string> {
  const begun = (await stat(recordingFile)).mtime
  const [recorded] = begun.toISOString().split('.')
  const when = `Recorded from ${recorded}Z on`
  const git = async (...words: string[]): Promise<string> =>
    (await run('git', ['-C', bundleDir, ...words])).stdout.trim()
  try {
    const [commit, date] = (await git('log', '-1', '--format=%H %cI', '--', MANIFEST_FILE)).split(' ')
    if (commit === undefined || date === undefined)
      return `${when}; the bundle is in no commit, so its settings are not frozen.`
    if ((await git('status', '--porcelain', '--', MANIFEST_FILE)) !== '') {
      return `${when}; the bundle's manifest differs from its last commit (${commit}), so its settings are not frozen.`
    }
    const order = new Date(date) <= begun ? 'before that' : 'AFTER that: they may have been chosen by this recording'
    return `${when}. The bundle's settings are those of commit ${commit} (${date}), ${order}.`
  } catch {
    return `${when}; git does not answer for the bundle's folder, so nothing says when its settings were frozen.`
  }
}
