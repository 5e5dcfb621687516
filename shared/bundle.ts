import * as z from 'zod'
import { Sha256Hex } from './job.ts'
import { LIMITS } from './limits.ts'
import { ModelName } from './model-name.ts'
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
 */
export const SEARCHES = ['plain', 'halving', 'forking'] as const
export type Search = (typeof SEARCHES)[number]
/** Those that can be served: the others begin candidates beyond those asked for, which a job's events cannot name. */
export const SERVED_SEARCHES = ['plain', 'halving'] as const satisfies readonly Search[]

/**
 * By what a token that is already known is scored when it is asked which ones to draw anew.
 * shown: its probability given all other tokens, from the step just taken; for models trained to see their own mistakes.
 * commit: its probability when it was drawn; for models that were not (ReMDM's confidence, arXiv 2503.00307).
 */
export const TOKEN_SCORES = ['shown', 'commit'] as const
export type TokenScore = (typeof TOKEN_SCORES)[number]

/** How a generator corrects itself: after the first pass the least likely of all tokens are masked again and drawn anew. */
export const Corrections = z.strictObject({
  /** Correction steps of a path unless a job says otherwise. */
  steps: z.int().min(LIMITS.corrections.min).max(LIMITS.corrections.max),
  /** Share of all tokens that is masked again before the first correction step. */
  share: z.number().min(0).max(1),
  scoring: z.enum(TOKEN_SCORES),
  /** In the first pass too, known tokens compete with new ones for being masked; without it they stay. */
  throughout: z.boolean().optional(),
})
export type Corrections = z.infer<typeof Corrections>

/**
 * How a generator's own opinion of a picture becomes a probability: sigmoid(offset + slope * raw), where raw is the mean over
 * all positions of ln(probability of the code that stands there after the step).
 */
const Coherence = z.strictObject({
  /**
   * Measured in a run of the default steps and corrections, at its judged steps and at its last one; any other step goes by the
   * point at the nearest share of the run.
   */
  points: z.array(z.strictObject({ stepIndex: z.int().min(0), offset: z.number(), slope: z.number() })).min(1),
})
export type Coherence = z.infer<typeof Coherence>

/** score = sigmoid(bias + own * logit(verifier's answer) + coherence * logit(coherence)). */
const FusionWeights = z.strictObject({ own: z.number(), coherence: z.number(), bias: z.number() })
export type FusionWeights = z.infer<typeof FusionWeights>

/** One thing that a picture's style is made of. */
const StyleAxis = z.strictObject({
  /** For people and logs: `set`, `tint`. */
  name: z.string().min(1).max(100),
  /** By choice, the words for it as token ids. */
  tokens: z.array(z.array(TokenId).min(1)).min(1),
})
export type StyleAxis = z.infer<typeof StyleAxis>

const VerifierEntry = z.strictObject({
  graph: FileName,
  tasks: z.array(z.enum(TASKS)).min(1),
  /** A task passes at or above its threshold. */
  thresholds: z.strictObject({ clarity: Probability, potential: Probability, alignment: Probability }),
  /**
   * Step indices of the first pass at which clarity is asked in a run of `judgedStepsOf` steps; scaled for other step counts. The
   * last, `judgedStepsOf` - 1, is judged where corrections follow.
   */
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
  /** What decisions go by instead of the answer alone, by question; only in a bundle whose generator tells its coherence. */
  fusion: z.strictObject({ alignment: FusionWeights.optional(), potential: FusionWeights.optional() }).optional(),
})
export type VerifierEntry = z.infer<typeof VerifierEntry>

/**
 * manifest.json of a bundle: what the engine may know about a model. Written by Python (training.export.export_bundle), read here.
 * Graph inputs and outputs are listed in gpu-worker/src/models/README.md.
 */
export const BundleManifest = z
  .strictObject({
    format: z.literal(1),
    id: ModelName,
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
      /** Without it the generator never goes back on a token, and a job cannot ask it to. */
      corrections: Corrections.optional(),
      /** Without it verdicts have no coherence. */
      coherence: Coherence.optional(),
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
      /**
       * Words for a picture's style, one of each axis in this order between `prefix` and the prompt's own words: the one that the prompt
       * names, else one drawn for the candidate. Verifiers never see them.
       */
      styles: z.array(StyleAxis).min(1).optional(),
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
    const refuse = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
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
    checkPoints(manifest.generator, refuse)
    checkStyles(manifest.prompt, refuse)
    if (manifest.detector?.strict) need(manifest.detector.strict.drawings, ['detector', 'strict', 'drawings'])
    for (const [name, { graph, judgedSteps, economics, fusion }] of Object.entries(manifest.verifiers)) {
      need(graph, ['verifiers', name, 'graph'])
      if (fusion && !manifest.generator.coherence) {
        refuse(['verifiers', name, 'fusion'], 'needs generator.coherence, which the manifest lacks')
      }
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

type Refuse = (path: (string | number)[], message: string) => void

/** The last step decides who wins, so that one at least must have been measured itself. */
function checkPoints({ defaults, corrections, coherence }: BundleManifest['generator'], refuse: Refuse): void {
  if (coherence === undefined) return
  const path = ['generator', 'coherence', 'points']
  const last = defaults.steps + (corrections?.steps ?? 0) - 1
  const steps = coherence.points.map(({ stepIndex }) => stepIndex)
  if (steps.some((step, index) => index > 0 && step <= (steps[index - 1] as number))) {
    refuse(path, `expected ascending stepIndex, got ${steps.join(', ')}`)
  } else if (steps.at(-1) !== last) {
    refuse(path, `expected the last one at step ${last}, the last of a default run, got ${steps.at(-1)}`)
  }
}

function checkStyles({ styles = [], prefix, suffix, maxTokens }: BundleManifest['prompt'], refuse: Refuse): void {
  const names = styles.map(({ name }) => name)
  if (new Set(names).size < names.length)
    refuse(['prompt', 'styles'], `expected distinct names, got ${names.join(', ')}`)
  const longest = styles.reduce((sum, { tokens }) => sum + Math.max(...tokens.map(({ length }) => length)), 0)
  if (prefix.length + longest + suffix.length >= maxTokens) {
    refuse(['prompt', 'styles'], `expected room for words beside a style in maxTokens ${maxTokens}`)
  }
}
