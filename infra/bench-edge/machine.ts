import { cpus } from 'node:os'
import { commit } from '../../gpu-worker/src/cli/commit.ts'

/** What a figure must be read with. */
export function machine(): object {
  const [processor] = cpus()
  return {
    node: process.version,
    processor: processor?.model.trim() ?? 'unknown',
    cores: cpus().length,
    commit: commit(),
  }
}
