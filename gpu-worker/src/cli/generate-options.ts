import { type BundleManifest, SEARCHES, type Search } from '../../../shared/bundle.ts'
import { ACCEPT_RULES, type AcceptRule, STRATEGIES, type Strategy } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { normalizePrompt, promptProblem } from '../../../shared/prompt.ts'
import { beginSearch, defaultSearch } from '../engine/search.ts'
import { type Arguments, readCorrections, readSteps, SHARE_RANGE, UsageError } from './arguments.ts'
import { chooseVerifier, ENGINE_FLAGS, ENGINE_HELP } from './engine-settings.ts'

export const GENERATE_HELP = `npm run generate -- "PROMPT" [flags]

Makes one picture through the engine, without queue or server, and writes it as PNG.

  --out FILE           where the picture goes (out/picture.png)
  --sheet FILE         also write all candidates at all judged steps as one PNG
  --candidates N       paths that compete, ${LIMITS.candidates.min}-${LIMITS.candidates.max} (4)
  --strategy S         ${STRATEGIES.join(', ')} (parm)
  --accept A           first: stop at the first that passes; best: compare all survivors (first)
  --search S           what is done beyond the paper: ${SEARCHES.join(', ')} (the verifier's default, or plain)
  --verifier NAME      verifier of the bundle (its default)
  --steps N            mask-predict steps (the bundle's default)
  --corrections N      steps after these in which unlikely tokens are drawn anew, ${LIMITS.corrections.min}-${LIMITS.corrections.max} (the bundle's default)
  --guidance G         weight of the prompt, ${LIMITS.guidance.min}-${LIMITS.guidance.max} (the bundle's default)
  --guided SHARE       share of the steps, from the first on, that are guided, 0-1 (the bundle's default, or 1)
  --seed N             ${LIMITS.seed.min}-${LIMITS.seed.max} (0)
${ENGINE_HELP}

Progress goes to stderr. The last line of stdout is the path of the picture.`

export const GENERATE_FLAGS = [
  'out',
  'sheet',
  'candidates',
  'strategy',
  'accept',
  'search',
  'verifier',
  'steps',
  'corrections',
  'guidance',
  'guided',
  'seed',
  ...ENGINE_FLAGS,
] as const

export interface GenerateOptions {
  readonly prompt: string
  readonly out: string
  readonly sheet: string | undefined
  readonly candidates: number
  readonly strategy: Strategy
  readonly accept: AcceptRule
  readonly search: Search
  readonly seed: number
  readonly steps: number
  readonly corrections: number
  readonly guidance: number
  /** Share of the steps, 0..1. */
  readonly guided: number
  readonly verifier: string
}

/**
 * Everything that the flags say; the same defaults as the edge's.
 *
 * @param manifest  of the bundle, for its defaults and bounds
 * @throws UsageError  naming the flag, its value and what is permitted
 * @throws AppError `invalid_request`  for a search that does not fit the strategy
 */
export function readGenerateOptions(parsed: Arguments, manifest: BundleManifest): GenerateOptions {
  if (parsed.positionals.length !== 1) {
    throw new UsageError(
      `expected one prompt in quotes, got ${parsed.positionals.length}: ${parsed.positionals.join(' | ')}`,
    )
  }
  const prompt = normalizePrompt(parsed.positionals[0] ?? '')
  const problem = promptProblem(prompt)
  if (problem !== undefined) {
    throw new UsageError(
      `the prompt ${problem}; expected ${LIMITS.promptChars.min} to ${LIMITS.promptChars.max} characters`,
    )
  }
  const strategy = parsed.choice('strategy', STRATEGIES, 'parm')
  const accept = parsed.choice('accept', ACCEPT_RULES, 'first')
  const verifier = chooseVerifier(manifest, parsed.text('verifier'))
  const usual = defaultSearch({ strategy, accept }, manifest.verifiers[verifier]?.search)
  const search = parsed.choice('search', SEARCHES, usual)
  // Refused here, before any model is loaded.
  beginSearch(search, strategy)
  return {
    prompt,
    out: parsed.text('out') ?? 'out/picture.png',
    sheet: parsed.text('sheet'),
    candidates: parsed.integer('candidates', LIMITS.candidates, 4),
    strategy,
    accept,
    search,
    seed: parsed.integer('seed', LIMITS.seed, 0),
    steps: readSteps(parsed, manifest.generator),
    corrections: readCorrections(parsed, manifest.generator),
    guided: parsed.number('guided', SHARE_RANGE, manifest.generator.defaults.guidedShare ?? 1),
    guidance: parsed.number('guidance', LIMITS.guidance, manifest.generator.defaults.guidance),
    verifier,
  }
}
