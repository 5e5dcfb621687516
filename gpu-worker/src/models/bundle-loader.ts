import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import type { Generator, Verifier } from '../engine/ports.ts'
import { checkFiles, readManifest } from './bundle-files.ts'
import { BundleDetector } from './detector.ts'
import { BundleGenerator } from './generator.ts'
import { bundleContracts } from './graph-contract.ts'
import type { Provider } from './providers.ts'
import type { RowWarmUp } from './row-warm-up.ts'
import type { SpentTime } from './spent-time.ts'
import { type ModelThread, ThreadClient } from './thread-client.ts'
import { PromptTokenizer } from './tokenizer.ts'
import { BundleVerifier } from './verifier.ts'

export interface BundleOptions {
  /** Execution providers in the order of preference; the first that computes and is not slower than the CPU runs all graphs. Default: cpu. */
  readonly providers?: readonly Provider[]
  /** Threads of one graph run, >= 1. Default: all cores. */
  readonly threads?: number
  /** Sessions that share each step on the CPU, 1..threads. Default: what a short trial finds fastest. */
  readonly stepSessions?: number
}

/** A bundle with its models loaded. Owns one thread; `close` must be called before the process exits. */
export interface Bundle {
  readonly manifest: BundleManifest
  readonly generator: Generator
  /** By name. */
  readonly verifiers: ReadonlyMap<string, Verifier>
  readonly detector: BundleDetector | undefined
  /** What the graphs run on, and why preferred providers do not. */
  readonly provider: Provider
  readonly refusedProviders: readonly string[]
  /** Sessions that share each step. */
  readonly stepSessions: number
  /** Rows past which a tick only gets longer, found by a short sweep; undefined on the CPU. */
  readonly rowBudget: number | undefined
  /** How the graphs that make or read pictures were warmed up; undefined where their calls have any number of rows. */
  readonly rowWarmUp: RowWarmUp | undefined
  /** Time that the calls answered so far spent inside onnxruntime. */
  readonly spent: SpentTime
  /** Settles only when the model thread ends by itself; nothing can be generated afterwards. */
  readonly died: Promise<AppError>
  /** Waits for running calls, then frees the models. Exiting during a call would abort the process. */
  close(): Promise<void>
}

/**
 * Opens a bundle: manifest, files and hashes, graphs and their shapes, one trial run of each.
 *
 * @param dir  folder with manifest.json
 * @throws AppError `bundle_invalid`  naming the file, field or graph, what was expected and what was found;
 *                  `config_invalid` when no execution provider can start
 */
export async function openBundle(dir: string, options: BundleOptions = {}): Promise<Bundle> {
  const manifest = await readManifest(dir)
  await checkFiles(dir, manifest)
  const tokenizer = await openTokenizer(dir, manifest)
  const thread: ModelThread = new ThreadClient(new URL('./model-thread.ts', import.meta.url))
  try {
    const { generator, prompt, verifiers, detector } = manifest
    const { provider, refused, stepSessions, rowBudget, rowWarmUp } = await thread.call('open', {
      dir: resolve(dir),
      graphs: {
        prefix: generator.prefixGraph,
        step: generator.stepGraph,
        decode: generator.decodeGraph,
        verifiers: Object.fromEntries(Object.entries(verifiers).map(([name, entry]) => [name, entry.graph])),
        detector: detector?.graph,
      },
      contracts: bundleContracts(manifest),
      codebookSize: generator.codebookSize,
      unconditional: Int32Array.from(prompt.unconditional),
      providers: options.providers ?? ['cpu'],
      threads: options.threads ?? availableParallelism(),
      stepSessions: options.stepSessions,
    })
    const pictureBytes = generator.imageSize[0] * generator.imageSize[1] * 3
    return {
      manifest,
      generator: new BundleGenerator(manifest, tokenizer, thread),
      verifiers: new Map(
        Object.entries(verifiers).map(([name, entry]) => [name, new BundleVerifier(name, entry, pictureBytes, thread)]),
      ),
      detector: detector && new BundleDetector(detector, pictureBytes, thread),
      provider,
      refusedProviders: refused,
      stepSessions,
      rowBudget,
      rowWarmUp,
      get spent() {
        return thread.spent
      },
      died: thread.died,
      close: () => thread.close(),
    }
  } catch (error) {
    await thread.close()
    throw error
  }
}

async function openTokenizer(dir: string, manifest: BundleManifest): Promise<PromptTokenizer> {
  const { prompt } = manifest
  try {
    return new PromptTokenizer(JSON.parse(await readFile(join(dir, prompt.tokenizer), 'utf8')) as object, prompt)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new AppError('bundle_invalid', `bundle file ${prompt.tokenizer} is no usable tokenizer.json: ${why}`, {
      cause,
    })
  }
}
