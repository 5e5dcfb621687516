import { readdirSync, readFileSync } from 'node:fs'

/**
 * Processor time that the children of this process have used so far, all their threads together; milliseconds. Unlike the
 * clock it does not count what other programs of a busy machine did meanwhile.
 *
 * @returns undefined where the system does not tell (it is Linux that does)
 */
export function childrenProcessorMs(): number | undefined {
  try {
    return threads('self')
      .flatMap((thread) => words(`/proc/self/task/${thread}/children`))
      .reduce((sum, child) => sum + processorMs(child), 0)
  } catch {
    return undefined
  }
}

function processorMs(process: string): number {
  const nanoseconds = threads(process).map((thread) => Number(words(`/proc/${process}/task/${thread}/schedstat`)[0]))
  return nanoseconds.reduce((sum, value) => sum + value, 0) / 1e6
}

const threads = (process: string): string[] => readdirSync(`/proc/${process}/task`)
const words = (path: string): string[] => readFileSync(path, 'utf8').trim().split(/\s+/).filter(Boolean)
