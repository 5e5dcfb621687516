import type { BundleManifest } from '../../../shared/bundle.ts'
import { markdownTable, share } from '../geneval/comparison/markdown.ts'
import type { Method } from '../geneval/comparison/method.ts'
import { type OperatingPoint, paretoSettings, settingGrid } from '../geneval/comparison/operating-points.ts'
import { UsageError } from './arguments.ts'
import { checkInputFolder } from './files.ts'
import { readRecordingOf } from './geneval-recorded.ts'
import type { TuningPlan } from './geneval-tune-options.ts'
import { ProgressBar } from './progress-bar.ts'

/**
 * Tries judged steps, thresholds and least gains of `parm` on a recording and prints those that none beats in both score and
 * row-steps with judging charged, as a table and as JSON.
 *
 * @param manifest   of the bundle, for the alignment threshold where accept `best` does not use it
 * @param bundleDir  folder of the manifest
 * @throws UsageError  when the recording has not been read by the verifier, or has fewer candidates than asked for
 */
export async function tune(
  { dir, accept, search, verifier, candidates, given }: TuningPlan,
  manifest: BundleManifest,
  bundleDir: string,
): Promise<void> {
  await checkInputFolder('tune', dir, 'a recording')
  const recording = await readRecordingOf(manifest, bundleDir, dir)
  const { configuration, steps, verifiers, prompts } = recording
  const entry = manifest.verifiers[verifier]
  if (entry === undefined || !verifiers.includes(verifier)) {
    throw new UsageError(
      `--verifier: expected one of bundle and recording (${verifiers.join(', ')}), got "${verifier}"`,
    )
  }
  const recorded = configuration.images * configuration.candidates
  if (candidates > recorded) {
    throw new UsageError(`--candidates: the recording has ${recorded} of each prompt, got ${candidates}`)
  }
  const { thresholds } = entry
  const method: Method = {
    name: 'parm',
    label: 'PARM',
    strategy: 'parm',
    accept,
    search,
    verifier,
    thresholds,
    fusion: entry.fusion,
    judgedSteps: [],
    leastGain: 0,
    isAlone: false,
    isServed: false,
    callRowSteps: entry.economics?.callRowSteps ?? 0,
  }
  const tried = settingGrid(steps, method)
  const grid = {
    judgedSteps: given.judgedSteps ? [given.judgedSteps] : tried.judgedSteps,
    clarity: given.clarity === undefined ? tried.clarity : [given.clarity],
    potential: given.potential === undefined ? tried.potential : [given.potential],
    alignment: given.alignment === undefined ? tried.alignment : [given.alignment],
    leastGain: given.leastGain ?? tried.leastGain,
  }
  const progress = new ProgressBar('settings', 0)
  const settings = paretoSettings(recording, method, candidates, grid, (done, most) => progress.update(done, most))
  progress.clear()
  console.log(
    `${verifier}, accept ${accept}, search ${search}, N = ${candidates}, ${prompts.length} prompts: settings that none beats in both score and row-steps, judging charged\n`,
  )
  console.log(settingTable(settings))
  console.log(JSON.stringify({ verifier, accept, search, candidates, settings }))
}

function settingTable(settings: readonly OperatingPoint[]): string {
  const rows = settings.map(({ score, geneval, rowSteps, judgeCalls, work, judgedSteps, thresholds, leastGain }) => [
    share(score),
    share(geneval),
    rowSteps.toFixed(1),
    judgeCalls.toFixed(1),
    work.toFixed(1),
    judgedSteps.join(', ') || 'none',
    String(thresholds.clarity),
    String(thresholds.potential),
    String(thresholds.alignment),
    String(leastGain),
  ])
  const head = [
    'overall',
    "GenEval's rules",
    'row-steps',
    'judge calls',
    'with judging',
    'judged steps',
    'clarity',
    'potential',
    'alignment',
    'least gain',
  ]
  return `${markdownTable(head, rows)}\n`
}
