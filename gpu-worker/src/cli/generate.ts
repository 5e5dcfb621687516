import { writeFile } from 'node:fs/promises'
import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import type { Verdict } from '../../../shared/verdict.ts'
import { stepCountOf as pathStepsOn } from '../engine/mask-schedule.ts'
import type { EngineEvent, EngineOutcome } from '../engine/ports.ts'
import { readManifest } from '../models/bundle-files.ts'
import type { Bundle } from '../models/bundle-loader.ts'
import { encodePng } from '../png.ts'
import { Arguments } from './arguments.ts'
import { candidateSheet } from './candidate-sheet.ts'
import { readEngineSettings } from './engine-settings.ts'
import { checkOutputFile } from './files.ts'
import { GENERATE_FLAGS, GENERATE_HELP, type GenerateOptions, readGenerateOptions } from './generate-options.ts'
import { openBundleFor, startEngine, verifierNamed } from './local-engine.ts'
import { runProgram } from './program.ts'
import { formatDuration, ProgressBar } from './progress-bar.ts'
import { formatProbability, verdictTable } from './verdict-table.ts'

type Succeeded = Extract<EngineOutcome, { status: 'succeeded' }>

interface Generated {
  readonly outcome: Succeeded
  readonly verdicts: readonly Verdict[]
  readonly pictures: readonly Extract<EngineEvent, { type: 'preview' }>[]
}

async function generate(options: GenerateOptions, bundle: Bundle, slots: number): Promise<Generated> {
  const verdicts: Verdict[] = []
  const pictures: Extract<EngineEvent, { type: 'preview' }>[] = []
  /** Candidates beyond those asked for, which a search has begun. */
  const added = new Set<number>()
  const progress = new ProgressBar('row-steps')
  let done = 0
  // The baseline asks nobody, so a second candidate would have no way to win and is not started.
  const stepCount = stepCountOf(options, bundle.manifest)
  let total = (options.strategy === 'baseline' ? 1 : options.candidates) * stepCount
  const local = startEngine(bundle, slots, (rows) => {
    done += rows
    progress.update(done, total)
  })
  try {
    const job = local.engine.submit(
      {
        id: 'generate',
        parameters: options,
        search: options.search,
        guidedShare: options.guided,
        verifier: verifierNamed(bundle, options.verifier),
        previews: options.sheet !== undefined,
      },
      (event) => {
        if (event.type === 'preview') pictures.push(event)
        else if (event.type === 'verdict') verdicts.push(event)
        else if (event.phase === 'pruned' || event.phase === 'stopped') total -= stepCount - event.stepsDone
        else if (event.phase === 'resumed') total += stepCount - event.stepsDone
        else if (event.phase === 'running' && event.candidate >= options.candidates && !added.has(event.candidate)) {
          added.add(event.candidate)
          total += stepCount - event.stepsDone
        }
      },
    )
    const outcome = await job.outcome
    if (outcome.status === 'failed') throw outcome.error
    if (outcome.status === 'stopped') throw new AppError('internal', 'the job was stopped, which nobody asked for')
    progress.finish(done, done)
    return { outcome, verdicts, pictures }
  } catch (error) {
    progress.clear()
    throw error
  } finally {
    await local.close()
  }
}

function stepCountOf({ steps, corrections }: GenerateOptions, { generator }: BundleManifest): number {
  return pathStepsOn(generator.grid[0] * generator.grid[1], steps, corrections)
}

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, GENERATE_FLAGS)
  if (parsed.help) {
    console.log(GENERATE_HELP)
    return
  }
  const settings = readEngineSettings(parsed)
  const manifest = await readManifest(settings.bundleDir)
  const options = readGenerateOptions(parsed, manifest)
  await checkOutputFile('out', options.out)
  if (options.sheet !== undefined) await checkOutputFile('sheet', options.sheet)
  const bundle = await openBundleFor(settings)
  const { outcome, verdicts, pictures } = await generate(options, bundle, settings.slots)

  if (verdicts.length > 0) console.log(verdictTable(verdicts))
  for (const warning of outcome.warnings) console.log(`warning: ${warning}`)
  console.log(describeOutcome(outcome))
  const { imageSize } = manifest.generator
  if (options.sheet !== undefined) {
    const history = { pictures, verdicts, winner: outcome.candidate, stepCount: stepCountOf(options, manifest) }
    const sheet = candidateSheet(history, imageSize)
    await writeFile(options.sheet, encodePng(sheet.pixels, sheet.width, sheet.height))
    console.log(options.sheet)
  }
  await writeFile(options.out, encodePng(outcome.pixels, imageSize[1], imageSize[0]))
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
