import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type BundleManifest, TASKS, type VerifierEntry } from '../../../shared/bundle.ts'
import { withoutByteOrderMark } from '../../../shared/byte-order-mark.ts'
import { pathSteps } from '../../../shared/job.ts'
import { VerdictLedger } from '../../../shared/job-record.ts'
import type { Judgement } from '../engine/ports.ts'
import { readManifest } from '../models/bundle-files.ts'
import { type Replay, replayLedger } from '../replay/ledger-replay.ts'
import { Arguments, UsageError } from './arguments.ts'
import { runProgram } from './program.ts'

const USAGE = `npm run replay -- LEDGER... [--clarity P] [--potential P] [--alignment P] [--bundle DIR]

Decides finished jobs anew from their stored verdicts, with other thresholds and without any model: who would have won, which
row-steps would have been saved, and which a prune has cost that would not happen now. Each LEDGER is a file or an address of
GET /v1/jobs/ID/verdicts (PARM_API_KEY where the edge asks for one). Thresholds are 0..1; those not given are the bundle's.
The last line is one JSON object.`

const DEFAULT_BUNDLE = resolve(import.meta.dirname, '../../bundles/emoji-96')

async function main(argv: string[]): Promise<void> {
  const parsed = new Arguments(argv, [...TASKS, 'bundle'])
  if (parsed.help) {
    console.log(USAGE)
    return
  }
  if (parsed.positionals.length === 0) throw new UsageError('expected at least one ledger, a file or an address')
  const manifest = await readManifest(resolve(parsed.text('bundle') ?? DEFAULT_BUNDLE))
  const replays: Replay[] = []
  for (const source of parsed.positionals) {
    const ledger = await readLedger(source)
    const verifier = manifest.verifiers[ledger.verifier]
    if (!verifier) throw new UsageError(`${source}: bundle ${manifest.id} has no verifier ${ledger.verifier}`)
    checkLedger(source, ledger, manifest)
    const leastGain = verifier.leastGain?.[ledger.accept]
    const replay = replayLedger(ledger, thresholdsOf(parsed, verifier), leastGain, verifier.thresholds)
    console.log(describe(replay))
    replays.push(replay)
  }
  console.log(JSON.stringify(totals(replays)))
}

/** Only a job that has ended with a picture, of this very bundle, can be decided anew by the bundle's rules. */
function checkLedger(source: string, ledger: VerdictLedger, { id, revision }: BundleManifest): void {
  const { status, model, candidates } = ledger
  const steps = pathSteps(ledger)
  if (model !== id || ledger.revision !== revision) {
    const made = `${model} ${ledger.revision.slice(0, 12)}`
    throw new UsageError(`${source}: made by ${made}, but the bundle is ${id} ${revision.slice(0, 12)} (--bundle)`)
  }
  if (status !== 'succeeded')
    throw new UsageError(`${source}: expected a job that succeeded, got one that is ${status}`)
  for (const { candidate, stepsDone, verdicts } of candidates) {
    const last = Math.max(stepsDone, ...verdicts.map(({ stepIndex }) => stepIndex + 1))
    if (last > steps) {
      throw new UsageError(`${source}: candidate ${candidate}: expected at most ${steps} steps, got ${last}`)
    }
  }
}

function thresholdsOf(parsed: Arguments, { thresholds }: VerifierEntry): Judgement {
  const given = Object.fromEntries(TASKS.map((task) => [task, probability(parsed, task) ?? thresholds[task]]))
  return given as unknown as Judgement
}

function probability(parsed: Arguments, flag: string): number | undefined {
  const text = parsed.text(flag)
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() !== '' && value >= 0 && value <= 1) return value
  throw new UsageError(`--${flag}: expected a number from 0 to 1, got ${JSON.stringify(text)}`)
}

async function readLedger(source: string): Promise<VerdictLedger> {
  const read = VerdictLedger.safeParse(jsonOf(source, await textOf(source)))
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new UsageError(`${source} is no verdict ledger: ${issue?.path.join('.')}: ${issue?.message}`)
}

function jsonOf(source: string, text: string): unknown {
  try {
    return JSON.parse(withoutByteOrderMark(text))
  } catch (cause) {
    throw new UsageError(`${source} is no JSON`, { cause })
  }
}

async function textOf(source: string): Promise<string> {
  if (!/^https?:/.test(source)) {
    return readFile(source, 'utf8').catch((cause: unknown) => {
      throw new UsageError(`${source} cannot be read: ${cause instanceof Error ? cause.message : cause}`, { cause })
    })
  }
  const { PARM_API_KEY: key } = process.env
  const headers = key ? { authorization: `Bearer ${key}` } : {}
  const response = await fetch(source, { headers }).catch((cause: unknown) => {
    const { cause: reason } = cause as { cause?: { code?: string; message?: string } }
    throw new UsageError(`${source} cannot be reached: ${reason?.code ?? reason?.message ?? cause}`, { cause })
  })
  if (!response.ok) throw new UsageError(`${source} answered ${response.status}`)
  return response.text()
}

function describe(replay: Replay): string {
  const { jobId, rowSteps, rowStepsSaved, rowStepsRegretted, winner, newWinner, score, newScore, unknown } = replay
  const change =
    newWinner === undefined
      ? `winner ${winner}, now unknown`
      : newWinner === winner
        ? `winner ${winner} as before`
        : `winner ${newWinner} (${shown(newScore)}) instead of ${winner} (${shown(score)})`
  const open = unknown.length > 0 ? `; nobody knows how ${unknown.join(', ')} would have ended` : ''
  return `${jobId}  ${rowSteps} row-steps, ${rowStepsSaved} saved, up to ${rowStepsRegretted} regretted  ${change}${open}`
}

const shown = (score: number | undefined): string => score?.toFixed(3) ?? '-'

function totals(replays: readonly Replay[]): object {
  const sum = (of: (replay: Replay) => number) => replays.reduce((total, replay) => total + of(replay), 0)
  return {
    jobs: replays.length,
    rowSteps: sum(({ rowSteps }) => rowSteps),
    rowStepsSaved: sum(({ rowStepsSaved }) => rowStepsSaved),
    rowStepsRegretted: sum(({ rowStepsRegretted }) => rowStepsRegretted),
    sameWinner: sum(({ winner, newWinner }) => Number(winner === newWinner)),
    unknownWinner: sum(({ newWinner }) => Number(newWinner === undefined)),
  }
}

await runProgram('replay', main)
