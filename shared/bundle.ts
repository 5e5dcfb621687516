import * as z from 'zod'
import { Sha256Hex } from './job.ts'
import { LIMITS } from './limits.ts'
import { Probability } from './verdict.ts'

/** A file name inside the bundle's own folder; no separators, so that a manifest cannot point outside it. */
const FileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'expected a plain file name')
const TokenId = z.int().min(0)

/** The verifier's three questions; a verifier without a task answers 1 for it. */
export const TASKS = ['clarity', 'potential', 'alignment'] as const

/**
 * What a job does beyond the paper's procedure. Each is a function of the job alone: same job, same picture.
 * plain: nothing. halving: at each judged step the better half of the clear candidates, by potential, goes on.
 * forking: what was pruned at a judged step is replaced by copies of its best survivors, which go on with fresh noise.
 * repair: a winner that does not pass gets its least confident tokens masked again and re-drawn.
 */
export const SEARCHES = ['plain', 'halving', 'forking', 'repair'] as const
export type Search = (typeof SEARCHES)[number]
/** Those that can be served: the others begin candidates beyond those asked for, which a job's events cannot name. */
export const SERVED_SEARCHES = ['plain', 'halving'] as const satisfies readonly Search[]

const VerifierEntry = z.strictObject({
  graph: FileName,
  tasks: z.array(z.enum(TASKS)).min(1),
  /** A task passes at or above its threshold. */
  thresholds: z.strictObject({ clarity: Probability, potential: Probability, alignment: Probability }),
  /** Step indices at which clarity is asked in a run of `judgedStepsOf` steps; scaled for other step counts. */
  judgedSteps: z.array(z.int().min(0)),
  judgedStepsOf: z.int().positive(),
  /** Measured cost of one picture, milliseconds, on the machine that wrote the manifest. */
  callMs: z.number().positive(),
  /** What decides at which of `judgedSteps` judging pays; without it all of them are judged. */
  economics: z
    .strictObject({
      /** Decoding and judging one picture, in row-steps of the same machine. */
      callRowSteps: z.number().min(0),
      /** For each of `judgedSteps`, share of the candidates asked there that are pruned, at `thresholds`. */
      pruneRates: z.array(Probability),
    })
    .optional(),
  /** What strategy `parm` does with this verifier unless a job says otherwise, by its accept rule; `plain` where left out. */
  search: z
    .strictObject({ best: z.enum(SERVED_SEARCHES).optional(), first: z.enum(SERVED_SEARCHES).optional() })
    .optional(),
  /**
   * Where strategy `parm` ends a job early with this verifier, by accept rule: where one more candidate cannot be expected to raise
   * the best alignment by so much. All candidates are looked at where it is left out.
   */
  leastGain: z.strictObject({ best: Probability.optional(), first: Probability.optional() }).optional(),
})
export type VerifierEntry = z.infer<typeof VerifierEntry>

/**
 * manifest.json of a bundle: what the engine may know about a model. Written by Python (training.export_bundle), read here.
 * Graph inputs and outputs are listed in gpu-worker/src/models/README.md.
 */
export const BundleManifest = z
  .strictObject({
    format: z.literal(1),
    id: z.string().min(1).max(100),
    /** SHA-256 of this file's text with 64 zeros in place of these digits: it changes with every file and every setting. */
    revision: Sha256Hex,
    license: z.string().min(1),
    attribution: z.string().min(1),
    files: z.record(FileName, z.strictObject({ sha256: Sha256Hex, bytes: z.int().positive() })),
    generator: z.strictObject({
      architecture: z.string().min(1),
      /** [height, width] in pixels. */
      imageSize: z.tuple([z.int().positive(), z.int().positive()]),
      /** [rows, columns] of image tokens. */
      grid: z.tuple([z.int().positive(), z.int().positive()]),
      /** Image codes are 0..codebookSize-1; the mask token is codebookSize. */
      codebookSize: z.int().min(2),
      prefixGraph: FileName,
      stepGraph: FileName,
      decodeGraph: FileName,
      layers: z.int().positive(),
      heads: z.int().positive(),
      headDim: z.int().positive(),
      defaults: z.strictObject({
        steps: z.int().min(LIMITS.steps.min).max(LIMITS.steps.max),
        guidance: z.number().min(LIMITS.guidance.min).max(LIMITS.guidance.max),
        /** Gumbel noise scale of the first re-masking; anneals linearly to 0. */
        temperature: z.number().min(0),
        /** Share of a path's steps, from the first on, that are guided; without it all of them are. */
        guidedShare: z.number().min(0).max(1).optional(),
      }),
      maxSteps: z.int().min(LIMITS.steps.min).max(LIMITS.steps.max),
    }),
    prompt: z.strictObject({
      /** A Hugging Face tokenizer.json. */
      tokenizer: FileName,
      maxTokens: z.int().positive(),
      /** Ids put before and after the words; the rest of maxTokens is `pad`, on `padSide`. */
      prefix: z.array(TokenId),
      suffix: z.array(TokenId),
      pad: TokenId,
      padSide: z.enum(['left', 'right']),
      /** Words that become this id are dropped and named in the job's warnings. */
      unknown: TokenId,
      /** The empty prompt of classifier-free guidance, maxTokens ids. */
      unconditional: z.array(TokenId),
      examples: z.array(z.string().min(1)).min(1),
    }),
    verifiers: z.record(z.string().min(1).max(100), VerifierEntry),
    defaultVerifier: z.string().min(1).max(100),
    /** Scores pictures for GenEval; never asked while a picture is made. */
    detector: z
      .strictObject({
        graph: FileName,
        classes: z.array(z.string().min(1)).min(1),
        colors: z.array(z.string().min(1)).min(1),
        thresholds: z.strictObject({ score: Probability, counting: Probability }),
        /** The strict yardstick; a bundle without it is scored by GenEval's rules alone. */
        strict: z
          .strictObject({
            /** Every drawing of the bundle's world in its codes. */
            drawings: FileName,
            /** Probability of a fault in any patch from which on the detector refuses a picture. */
            fault: Probability,
            /** Score of an object that nobody asked for above which it does. */
            extra: Probability,
            /** Of the matcher: how far a drawing may be from the picture to be tried, as a share of its contrast. */
            misfit: Probability,
            /** Of the matcher: grey levels by which a patch may differ from what was composed. */
            patch: z.number().positive().max(255),
          })
          .optional(),
      })
      .optional(),
    golden: FileName,
  })
  .superRefine((manifest, context) => {
    const listed = new Set(Object.keys(manifest.files))
    const need = (file: string, path: (string | number)[]) => {
      if (!listed.has(file)) context.addIssue({ code: 'custom', path, message: `file ${file} is not listed in files` })
    }
    need(manifest.generator.prefixGraph, ['generator', 'prefixGraph'])
    need(manifest.generator.stepGraph, ['generator', 'stepGraph'])
    need(manifest.generator.decodeGraph, ['generator', 'decodeGraph'])
    need(manifest.prompt.tokenizer, ['prompt', 'tokenizer'])
    need(manifest.golden, ['golden'])
    if (manifest.detector) need(manifest.detector.graph, ['detector', 'graph'])
    if (manifest.detector?.strict) need(manifest.detector.strict.drawings, ['detector', 'strict', 'drawings'])
    for (const [name, { graph, judgedSteps, economics }] of Object.entries(manifest.verifiers)) {
      need(graph, ['verifiers', name, 'graph'])
      if (economics && economics.pruneRates.length !== judgedSteps.length) {
        const path = ['verifiers', name, 'economics', 'pruneRates']
        const message = `expected one for each of ${judgedSteps.length} judgedSteps, got ${economics.pruneRates.length}`
        context.addIssue({ code: 'custom', path, message })
      }
    }
    if (!(manifest.defaultVerifier in manifest.verifiers))
      context.addIssue({ code: 'custom', path: ['defaultVerifier'], message: 'names no entry of verifiers' })
    if (manifest.prompt.unconditional.length !== manifest.prompt.maxTokens)
      context.addIssue({ code: 'custom', path: ['prompt', 'unconditional'], message: 'must have maxTokens ids' })
  })
export type BundleManifest = z.infer<typeof BundleManifest>
