import { execFileSync } from 'node:child_process'

/** The commit that runs, 12 hex digits; undefined outside a checkout, where nobody can say. */
export function commit(): string | undefined {
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return undefined
  }
}
