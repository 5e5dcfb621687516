import type { Clock, Generator, Verifier } from '../engine/ports.ts'
import { withOverrides } from '../with-overrides.ts'
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
    return withOverrides(generator, {
      prepare: (prompt) => this.#timed('prefix', () => generator.prepare(prompt)),
      step: async (rows) => {
        const outputs = await this.#timed('step', () => generator.step(rows))
        this.#metrics.ticks.add({}, 1)
        this.#metrics.rowSteps.add({}, rows.length)
        return outputs
      },
      decode: (codes) => this.#timed('decode', () => generator.decode(codes)),
    })
  }

  /** The same verifier; a failed call is timed too. */
  verifier(verifier: Verifier): Verifier {
    return withOverrides(verifier, { judge: (rows) => this.#timed('judge', () => verifier.judge(rows)) })
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
