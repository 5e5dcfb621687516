import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { manifestRevision } from '../../gpu-worker/src/models/bundle-files.ts'
import type { BundleManifest } from '../../shared/bundle.ts'
import { decodeGraph, prefixGraph, stepGraph, TINY, verifierGraph } from './tiny-graphs.ts'

/** Words that a tiny model knows; digits make any number of prompts. */
const TINY_WORDS = ['a', 'photo', 'of', 'red', 'blue', 'cat', 'dog', 'kite', ...'0123456789']
const TONES = ['warm', 'cool', 'pale']
const SPECIAL = ['[PAD]', '[UNK]', '[BOS]', '[EOS]']
const VOCABULARY = [...SPECIAL, ...TINY_WORDS, ...TONES]
const MAX_STEPS = 50
const DEFAULT_STEPS = 8
/** The step graph does not say how likely a known token looks, so a token is scored by how likely it was when it was drawn. */
const CORRECTIONS = { steps: 2, share: 0.4, scoring: 'commit', throughout: true } as const

/**
 * Writes a bundle whose graphs take microseconds: everything around a model can be tried with it as fast as it goes, by the
 * same code that serves a real one. Always the same bytes, so that its revision is always the same.
 *
 * @param dir  made where it does not exist
 */
export async function writeTinyBundle(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const files: Record<string, Uint8Array> = {
    'prefix.onnx': prefixGraph(),
    'step.onnx': stepGraph(),
    'decode.onnx': decodeGraph(),
    'parm.onnx': verifierGraph(),
    'tokenizer.json': Buffer.from(JSON.stringify(tokenizer())),
    // What golden vectors are for, the same answers as in training, has no meaning here.
    'golden.json': Buffer.from('{}'),
  }
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(dir, name), bytes)
  const unstated = '0'.repeat(64)
  const text = JSON.stringify(manifest(files, unstated), null, 1)
  const revision = manifestRevision(text, unstated)
  await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest(files, revision), null, 1))
}

function manifest(files: Readonly<Record<string, Uint8Array>>, revision: string): BundleManifest {
  const { promptTokens } = TINY
  const [bos, eos, pad, unknown] = ['[BOS]', '[EOS]', '[PAD]', '[UNK]'].map((word) => SPECIAL.indexOf(word)) as [
    number,
    number,
    number,
    number,
  ]
  return {
    format: 1,
    id: 'tiny-16',
    revision,
    license: 'Apache-2.0',
    attribution: 'Made by this repository; nothing in it was learned.',
    files: Object.fromEntries(
      Object.entries(files).map(([name, bytes]) => [
        name,
        { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length },
      ]),
    ),
    generator: {
      architecture: 'tiny',
      imageSize: [...TINY.imageSize],
      grid: [...TINY.grid],
      codebookSize: TINY.codebookSize,
      prefixGraph: 'prefix.onnx',
      stepGraph: 'step.onnx',
      decodeGraph: 'decode.onnx',
      layers: TINY.layers,
      heads: TINY.heads,
      headDim: TINY.headDim,
      defaults: { steps: DEFAULT_STEPS, guidance: 1, temperature: 1 },
      corrections: CORRECTIONS,
      coherence: { points: [{ stepIndex: DEFAULT_STEPS + CORRECTIONS.steps - 1, offset: 1, slope: 1 }] },
      maxSteps: MAX_STEPS,
    },
    prompt: {
      tokenizer: 'tokenizer.json',
      maxTokens: promptTokens,
      prefix: [bos],
      suffix: [eos],
      pad,
      padSide: 'right',
      unknown,
      unconditional: [bos, eos, ...new Array<number>(promptTokens - 2).fill(pad)],
      styles: [{ name: 'tone', tokens: TONES.map((word) => [VOCABULARY.indexOf(word)]) }],
      examples: ['a photo of a red kite'],
    },
    verifiers: {
      parm: {
        graph: 'parm.onnx',
        tasks: ['clarity', 'potential', 'alignment'],
        thresholds: { clarity: 0.3, potential: 0.3, alignment: 0.6 },
        judgedSteps: [2, 4],
        judgedStepsOf: DEFAULT_STEPS,
        callMs: 1,
        fusion: { alignment: { own: 1, coherence: 0.5, bias: 0 }, potential: { own: 1, coherence: 0.5, bias: 0 } },
      },
    },
    defaultVerifier: 'parm',
    golden: 'golden.json',
  }
}

function tokenizer(): object {
  const vocab = Object.fromEntries(VOCABULARY.map((word, id) => [word, id]))
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'WhitespaceSplit' },
    post_processor: null,
    decoder: null,
    model: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
  }
}
