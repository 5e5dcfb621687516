import type { WorkerRecord } from './worker.ts'

const PROMPT_CHARS = 60

/** Tells a worker's log as one line a job, start and end; other entries give undefined unless they are worth a look. */
export class JobLines {
  readonly #prompts = new Map<unknown, string>()
  /** Lanes whose queue was told to be silent. */
  readonly #silent = new Set<unknown>()

  line(record: WorkerRecord): string | undefined {
    const { jobId } = record
    switch (record.event) {
      case 'job started': {
        const prompt = shorten(String(record.prompt))
        this.#prompts.set(jobId, prompt)
        const again = Number(record.attempt) > 1 ? `, attempt ${record.attempt}` : ''
        return `started   ${prompt}  ${record.candidates} candidates, ${record.strategy}${again}`
      }
      case 'job finished': {
        const prompt = this.#take(jobId)
        if (record.status !== 'succeeded') return `failed    ${prompt}  ${record.ms} ms, ${record.code}`
        return `finished  ${prompt}  ${record.ms} ms, ${record.rowSteps} row-steps, ${record.rowStepsSaved} saved`
      }
      case 'job stopped':
        return `stopped   ${this.#take(jobId)}  ${record.why}`
      case 'receive failed':
        // Once, however often it is tried.
        if (this.#silent.has(record.lane)) return undefined
        this.#silent.add(record.lane)
        return `warn      the ${record.lane} queue does not answer, and is asked again until it does: ${firstLine(record.error)}`
      case 'receive works again':
        this.#silent.delete(record.lane)
        return `warn      the ${record.lane} queue answers again`
      default:
        if (record.level !== 'error' && record.level !== 'warn') return undefined
        return `${record.level.padEnd(9)} ${record.event}${record.error === undefined ? '' : `: ${firstLine(record.error)}`}`
    }
  }

  #take(jobId: unknown): string {
    const prompt = this.#prompts.get(jobId) ?? String(jobId)
    this.#prompts.delete(jobId)
    return prompt
  }
}

/** What follows is where in the code it happened. */
const firstLine = (text: unknown): string => String(text).split('\n', 1)[0] ?? ''

function shorten(prompt: string): string {
  const letters = [...prompt]
  const text = letters.length > PROMPT_CHARS ? `${letters.slice(0, PROMPT_CHARS - 1).join('')}…` : prompt
  return JSON.stringify(text)
}
