import type { Clock, Generator, Verifier } from '../engine/ports.ts'
import type { ModelCall, WorkerMetrics } from './worker-metrics.ts'

/** Times the calls of the models that an engine works with. */
export class ModelMeter {
  readonly #metrics: WorkerMetrics
  readonly #clock: Clock

  constructor(metrics: WorkerMetrics, clock: Clock) {
    this.#metrics = metrics
    this.#clock = clock
  }

  /** The same generator; a failed call is timed too. */
  generator(generator: Generator): Generator {
    const { tokenCount, codebookSize, imageSize, temperature } = generator
    return {
      tokenCount,
      codebookSize,
      imageSize,
      temperature,
      prepare: (prompt) => this.#timed('prefix', () => generator.prepare(prompt)),
      release: (prompt) => generator.release(prompt),
      step: async (rows) => {
        const outputs = await this.#timed('step', () => generator.step(rows))
        this.#metrics.ticks.add({}, 1)
        this.#metrics.rowSteps.add({}, rows.length)
        return outputs
      },
      decode: (codes) => this.#timed('decode', () => generator.decode(codes)),
    }
  }

  /** The same verifier; a failed call is timed too. */
  verifier(verifier: Verifier): Verifier {
    const { name, thresholds } = verifier
    return {
      name,
      thresholds,
      judgedSteps: (stepCount) => verifier.judgedSteps(stepCount),
      judge: (rows) => this.#timed('judge', () => verifier.judge(rows)),
    }
  }

  async #timed<T>(call: ModelCall, work: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.now()
    try {
      return await work()
    } finally {
      this.#metrics.modelSeconds.observe({ call }, (this.#clock.now() - startedMs) / 1000)
    }
  }
}
