import type { WorkerRecord } from './worker.ts'

const PROMPT_CHARS = 60

/** Tells a worker's log as one line a job, start and end; other entries give undefined unless they are worth a look. */
export class JobLines {
  readonly #prompts = new Map<unknown, string>()

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
      default:
        if (record.level !== 'error' && record.level !== 'warn') return undefined
        return `${record.level.padEnd(9)} ${record.event}${record.error === undefined ? '' : `: ${record.error}`}`
    }
  }

  #take(jobId: unknown): string {
    const prompt = this.#prompts.get(jobId) ?? String(jobId)
    this.#prompts.delete(jobId)
    return prompt
  }
}

function shorten(prompt: string): string {
  const letters = [...prompt]
  const text = letters.length > PROMPT_CHARS ? `${letters.slice(0, PROMPT_CHARS - 1).join('')}…` : prompt
  return JSON.stringify(text)
}
