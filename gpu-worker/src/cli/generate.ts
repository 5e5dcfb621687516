import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import { ACCEPT_RULES, type AcceptRule, STRATEGIES, type Strategy } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { normalizePrompt, promptProblem } from '../../../shared/prompt.ts'
import type { Verdict } from '../../../shared/verdict.ts'
import type { EngineEvent, EngineOutcome } from '../engine/ports.ts'
import { readManifest } from '../models/bundle-files.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { encodePng } from '../png.ts'
import { Arguments, readSteps, UsageError } from './arguments.ts'
import { candidateSheet } from './candidate-sheet.ts'
import {
  chooseVerifier,
  ENGINE_FLAGS,
  ENGINE_HELP,
  openBundleFor,
  readEngineSettings,
  startEngine,
  verifierNamed,
} from './local-engine.ts'
import { runProgram } from './program.ts'
import { formatDuration, ProgressBar } from './progress-bar.ts'
import { formatProbability, verdictTable } from './verdict-table.ts'

const HELP = `npm run generate -- "PROMPT" [flags]

Makes one picture through the engine, without queue or server, and writes it as PNG.

  --out FILE           where the picture goes (out/picture.png)
  --sheet FILE         also write all candidates at all judged steps as one PNG
  --candidates N       paths that compete, ${LIMITS.candidates.min}-${LIMITS.candidates.max} (4)
  --strategy S         ${STRATEGIES.join(', ')} (parm)
  --accept A           first: stop at the first that passes; best: compare all survivors (first)
  --verifier NAME      verifier of the bundle (its default)
  --steps N            mask-predict steps (the bundle's default)
  --guidance G         weight of the prompt, ${LIMITS.guidance.min}-${LIMITS.guidance.max} (the bundle's default)
  --seed N             ${LIMITS.seed.min}-${LIMITS.seed.max} (0)
${ENGINE_HELP}

Progress goes to stderr. The last line of stdout is the path of the picture.`

const FLAGS = [
  'out',
  'sheet',
  'candidates',
  'strategy',
  'accept',
  'verifier',
  'steps',
  'guidance',
  'seed',
  ...ENGINE_FLAGS,
] as const

interface GenerateOptions {
  readonly prompt: string
  readonly out: string
  readonly sheet: string | undefined
  readonly candidates: number
  readonly strategy: Strategy
  readonly accept: AcceptRule
  readonly seed: number
  readonly steps: number
  readonly guidance: number
  readonly verifier: string
}

/** @param manifest  of the bundle, for its defaults and bounds */
function readOptions(parsed: Arguments, manifest: BundleManifest): GenerateOptions {
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
  return {
    prompt,
    out: parsed.text('out') ?? 'out/picture.png',
    sheet: parsed.text('sheet'),
    candidates: parsed.integer('candidates', LIMITS.candidates, 4),
    strategy: parsed.choice('strategy', STRATEGIES, 'parm'),
    accept: parsed.choice('accept', ACCEPT_RULES, 'first'),
    seed: parsed.integer('seed', LIMITS.seed, 0),
    steps: readSteps(parsed, manifest.generator),
    guidance: parsed.number('guidance', LIMITS.guidance, manifest.generator.defaults.guidance),
    verifier: chooseVerifier(manifest, parsed.text('verifier')),
  }
}

type Succeeded = Extract<EngineOutcome, { status: 'succeeded' }>

interface Generated {
  readonly outcome: Succeeded
  readonly verdicts: readonly Verdict[]
  readonly pictures: readonly Extract<EngineEvent, { type: 'preview' }>[]
}

async function generate(options: GenerateOptions, bundle: Bundle, slots: number): Promise<Generated> {
  const verdicts: Verdict[] = []
  const pictures: Extract<EngineEvent, { type: 'preview' }>[] = []
  const progress = new ProgressBar('row-steps')
  let done = 0
  // The baseline asks nobody, so a second candidate would have no way to win and is not started.
  let total = (options.strategy === 'baseline' ? 1 : options.candidates) * options.steps
  const local = startEngine(bundle, slots, (rows) => {
    done += rows
    progress.update(done, total)
  })
  try {
    const job = local.engine.submit(
      {
        id: 'generate',
        parameters: options,
        verifier: verifierNamed(bundle, options.verifier),
        previews: options.sheet !== undefined,
      },
      (event) => {
        if (event.type === 'preview') pictures.push(event)
        else if (event.type === 'verdict') verdicts.push(event)
        else if (event.phase === 'pruned' || event.phase === 'stopped') total -= options.steps - event.stepsDone
        else if (event.phase === 'resumed') total += options.steps - event.stepsDone
      },
    )
    const outcome = await job.outcome
    if (outcome.status === 'failed') throw outcome.error
    if (outcome.status === 'stopped') throw new AppError('internal', 'the job was stopped, which nobody asked for')
    progress.finish(done, done)
    return { outcome, verdicts, pictures }
  } finally {
    await local.close()
  }
}

async function writePicture(path: string, png: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, png)
}

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, FLAGS)
  if (parsed.help) {
    console.log(HELP)
    return
  }
  const settings = readEngineSettings(parsed)
  const manifest = await readManifest(settings.bundleDir)
  const options = readOptions(parsed, manifest)
  const bundle = await openBundleFor(settings)
  const { outcome, verdicts, pictures } = await generate(options, bundle, settings.slots)

  if (verdicts.length > 0) console.log(verdictTable(verdicts))
  for (const word of outcome.unknownWords) console.log(`warning: the model does not know "${word}" and ignored it`)
  console.log(describeOutcome(outcome))
  const { imageSize } = manifest.generator
  if (options.sheet !== undefined) {
    const history = { pictures, verdicts, winner: outcome.candidate, stepCount: options.steps }
    const sheet = candidateSheet(history, imageSize)
    await writePicture(options.sheet, encodePng(sheet.pixels, sheet.width, sheet.height))
    console.log(options.sheet)
  }
  await writePicture(options.out, encodePng(outcome.pixels, imageSize[1], imageSize[0]))
  console.log(options.out)
}

function describeOutcome({ candidate, reason, alignment, cost }: Succeeded): string {
  const possible = cost.rowSteps + cost.rowStepsSaved
  return [
    `winner: candidate ${candidate} (${reason}, alignment ${formatProbability(alignment)})`,
    `row-steps ${cost.rowSteps} of ${possible}`,
    `judge calls ${cost.judgeCalls}`,
    formatDuration(cost.workMs),
  ].join(', ')
}

await runProgram('generate', main)
