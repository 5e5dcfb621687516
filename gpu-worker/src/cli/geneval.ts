import { readManifest } from '../models/bundle-files.ts'
import { Arguments } from './arguments.ts'
import { readEngineSettings } from './engine-settings.ts'
import { GENEVAL_FLAGS, GENEVAL_HELP } from './geneval-options.ts'
import { record } from './geneval-recording.ts'
import { readRecordingPlan } from './geneval-recording-options.ts'
import { report } from './geneval-report.ts'
import { readReportPlan } from './geneval-report-options.ts'
import { scoreStrategy } from './geneval-run.ts'
import { readRunPlan } from './geneval-run-options.ts'
import { tune } from './geneval-tune.ts'
import { readTuningPlan } from './geneval-tune-options.ts'
import { runProgram } from './program.ts'

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, GENEVAL_FLAGS)
  if (parsed.help) {
    console.log(GENEVAL_HELP)
    return
  }
  const settings = readEngineSettings(parsed)
  const manifest = await readManifest(settings.bundleDir)
  const recorded = parsed.text('record')
  const reported = parsed.text('report')
  const tuned = parsed.text('tune')
  if (tuned !== undefined) await tune(readTuningPlan(parsed, tuned), manifest, settings.bundleDir)
  else if (reported !== undefined) await report(readReportPlan(parsed, reported), manifest, settings)
  else if (recorded !== undefined)
    await record(await readRecordingPlan(parsed, manifest, recorded, settings.bundleDir), manifest, settings)
  else await scoreStrategy(await readRunPlan(parsed, manifest), manifest, settings)
}

await runProgram('geneval', main)
