import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEngine } from '../../../../gpu-worker/src/engine/engine.ts'
import { fuse } from '../../../../gpu-worker/src/engine/fusion.ts'
import type { EngineEvent, EngineJob, Verifier } from '../../../../gpu-worker/src/engine/ports.ts'
import { writeComparison } from '../../../../gpu-worker/src/geneval/comparison/comparison-report.ts'
import { replayHalving } from '../../../../gpu-worker/src/geneval/comparison/halving-replay.ts'
import { replayJob } from '../../../../gpu-worker/src/geneval/comparison/job-replay.ts'
import { chooseMethods, type Method } from '../../../../gpu-worker/src/geneval/comparison/method.ts'
import { replayPath } from '../../../../gpu-worker/src/geneval/comparison/path-replay.ts'
import { drawPredictions } from '../../../../gpu-worker/src/geneval/comparison/recorded-pictures.ts'
import { contentHash } from '../../../../gpu-worker/src/geneval/content-hash.ts'
import { GENEVAL_TASKS, type GenevalPrompt } from '../../../../gpu-worker/src/geneval/metadata.ts'
import { pictureSeed } from '../../../../gpu-worker/src/geneval/picture-seed.ts'
import type { Examiner } from '../../../../gpu-worker/src/geneval/recording/examination-file.ts'
import { examineCandidates } from '../../../../gpu-worker/src/geneval/recording/examine-candidates.ts'
import { PredictionFile } from '../../../../gpu-worker/src/geneval/recording/prediction-file.ts'
import { readRecording } from '../../../../gpu-worker/src/geneval/recording/read-recording.ts'
import {
  type RecordedCandidate,
  type Recording,
  type RecordingConfiguration,
  recordingPaths,
} from '../../../../gpu-worker/src/geneval/recording/recording.ts'
import {
  openLabels,
  openPredictions,
  openReadings,
} from '../../../../gpu-worker/src/geneval/recording/recording-folder.ts'
import { sampleCandidates } from '../../../../gpu-worker/src/geneval/recording/sample-candidates.ts'
import { openYardstick } from '../../../../gpu-worker/src/geneval/strict/yardstick.ts'
import { type Bundle, openBundle } from '../../../../gpu-worker/src/models/bundle-loader.ts'
import { coherenceScale } from '../../../../gpu-worker/src/models/coherence.ts'
import type { BundleDetector } from '../../../../gpu-worker/src/models/detector.ts'
import { ACCEPT_RULES, type AcceptRule, STRATEGIES, type Strategy } from '../../../../shared/job.ts'
import { BUNDLE_DIR } from '../../../support/real-bundle.ts'

const CANDIDATES = 4
/** Of the first pass. */
const STEPS = 6
/** Of the recording and of jobs that compare all survivors; accept `first` is replayed one candidate at a time. */
const SLOTS = 4
const PROMPTS: GenevalPrompt[] = [
  {
    tag: 'counting',
    include: [{ class: 'apple', count: 3 }],
    exclude: [{ class: 'apple', count: 4 }],
    prompt: 'a photo of three apples',
  },
  {
    tag: 'color_attr',
    include: [
      { class: 'car', count: 1, color: 'red' },
      { class: 'cat', count: 1, color: 'blue' },
    ],
    prompt: 'a photo of a red car and a blue cat',
  },
]

const slotsFor = (accept: AcceptRule): number => (accept === 'first' ? 1 : SLOTS)

/** The embedded bundle's own candidates: few, short, and real. */
describe.each([3, 0])('a recording of the embedded bundle with %i corrections', { timeout: 300_000 }, (corrections) => {
  const lookedAt = [1, 2, 3, 4, STEPS + corrections - 1]
  let dir: string
  let bundle: Bundle
  let recording: Recording
  let verifier: Verifier
  /** The same verifier with a threshold that about half of the candidates fail, so that there is something to prune. */
  let picky: Verifier

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'parm-comparison-'))
    bundle = await openBundle(BUNDLE_DIR, { threads: 1 })
    verifier = bundle.verifiers.get('parm') as Verifier
    await record()
    recording = await readRecording(dir, coherenceScale(bundle.manifest.generator))
    picky = pickyJudge()
  }, 300_000)
  afterAll(async () => {
    await bundle.close()
    await rm(dir, { recursive: true })
  })

  async function record(): Promise<void> {
    const { generator } = bundle
    const configuration: RecordingConfiguration = {
      format: 2,
      bundle: bundle.manifest.id,
      generator: 'a'.repeat(64),
      set: 'two',
      prompts: contentHash(PROMPTS),
      images: 1,
      candidates: CANDIDATES,
      seed: 5,
      stepCount: STEPS + corrections,
      corrections,
      guidance: bundle.manifest.generator.defaults.guidance,
      tokenCount: generator.tokenCount,
      codebookSize: generator.codebookSize,
    }
    const predictions = await openPredictions(dir, configuration, PROMPTS)
    await sampleCandidates(
      PROMPTS,
      configuration,
      predictions,
      { generator, clock: performance, slots: SLOTS },
      () => {},
    )
    const examiner = (name: string): Examiner => ({ format: 2, name, identity: 'b'.repeat(64), steps: lookedAt })
    const labels = await openLabels(dir, examiner('detector'), () => {})
    const readings = new Map([[verifier, await openReadings(dir, examiner('parm'), () => {})]])
    const yardstick = await openYardstick(BUNDLE_DIR, bundle.detector as BundleDetector, generator)
    const parts = { generator, yardstick, labels, readings, steps: lookedAt }
    await examineCandidates(PROMPTS, configuration, predictions, parts, () => {})
  }

  function pickyJudge(): Verifier {
    const judgedSteps = verifier.judgedSteps(STEPS, corrections)
    const potentials = recording.candidates
      .flatMap((candidate) => judgedSteps.map((step) => weighedPotential(candidate, step)))
      .sort((a, b) => a - b)
    return {
      name: verifier.name,
      thresholds: { clarity: 0, potential: potentials[potentials.length / 2] ?? 0, alignment: 0.5 },
      ...(verifier.fusion && { fusion: verifier.fusion }),
      judgedSteps: () => judgedSteps,
      judge: (rows) => verifier.judge(rows),
    }
  }

  /** What a path is pruned by: the answer and the generator's opinion together. */
  function weighedPotential({ readings, coherence }: RecordedCandidate, step: number): number {
    const potential = readings.parm?.[step]?.potential ?? 0
    const weights = verifier.fusion?.potential
    return weights === undefined ? potential : fuse(potential, coherence?.[step] ?? 0, weights)
  }

  /** What a real engine does, with every verdict it tells. */
  async function runJob(place: number, strategy: Strategy, accept: AcceptRule, asked: Partial<EngineJob> = {}) {
    const { prompt } = PROMPTS[place] as GenevalPrompt
    const { seed, guidance } = recording.configuration
    const parameters = {
      prompt,
      candidates: CANDIDATES,
      steps: STEPS,
      corrections,
      guidance,
      strategy,
      accept,
    }
    const job = {
      id: 'job',
      parameters: { ...parameters, seed: pictureSeed(seed, prompt, 0) },
      verifier: picky,
      previews: false,
      ...asked,
    }
    const events: EngineEvent[] = []
    const engine = createEngine({ generator: bundle.generator, clock: performance, slots: slotsFor(accept) })
    const stopping = new AbortController()
    const running = engine.run(stopping.signal)
    const outcome = await engine.submit(job, (event) => events.push(event)).outcome
    stopping.abort()
    await running
    if (outcome.status !== 'succeeded') throw new Error(`expected success, got ${JSON.stringify(outcome)}`)
    return { outcome, verdicts: events.flatMap((event) => (event.type === 'verdict' ? [event] : [])) }
  }

  function methodOf(strategy: Strategy, accept: AcceptRule): Method {
    const { thresholds } = picky
    const judgedSteps = picky.judgedSteps(STEPS, corrections)
    return {
      name: strategy,
      label: strategy,
      strategy,
      accept,
      search: 'plain',
      verifier: 'parm',
      thresholds,
      fusion: picky.fusion,
      judgedSteps,
      leastGain: 0,
      isAlone: false,
      isServed: false,
      callRowSteps: 1,
    }
  }

  for (const strategy of STRATEGIES) {
    for (const accept of ACCEPT_RULES) {
      it(`${strategy}, accept ${accept}: is replayed as the engine runs it, to the last row-step and call`, async () => {
        for (const place of PROMPTS.keys()) {
          const method = methodOf(strategy, accept)
          const candidates = recording.candidates.filter(({ prompt }) => prompt === place)
          const paths = candidates.map((candidate) => replayPath(candidate, method))
          const replayed = replayJob(paths, method, slotsFor(accept))
          const { outcome, verdicts } = await runJob(place, strategy, accept)
          const { rowSteps, judgeCalls, candidatesStarted } = outcome.cost
          expect({
            winner: replayed.winner.source.candidate,
            reason: replayed.reason,
            rowSteps: replayed.rowSteps,
            judgeCalls: replayed.judgeCalls,
            candidatesStarted: replayed.candidatesStarted,
          }).toEqual({ winner: outcome.candidate, reason: outcome.reason, rowSteps, judgeCalls, candidatesStarted })
          for (const { candidate, stepIndex, clarity, potential, alignment, coherence } of verdicts) {
            expect(candidates[candidate]?.coherence?.[stepIndex]).toBe(coherence)
            const reading = candidates[candidate]?.readings.parm?.[stepIndex]
            if (reading === undefined) continue
            // The recording was made in other batches: a row's answers do not depend on its neighbours.
            if (clarity !== undefined) expect(reading.clarity).toBeCloseTo(clarity, 6)
            if (potential !== undefined) expect(reading.potential).toBeCloseTo(potential, 6)
            if (alignment !== undefined) expect(reading.alignment).toBeCloseTo(alignment, 6)
          }
        }
      })
    }
  }

  it('parm, halving: is replayed as the engine runs it, ranked by the fused score', async () => {
    for (const place of PROMPTS.keys()) {
      const method = { ...methodOf('parm', 'best'), search: 'halving' } as const
      const candidates = recording.candidates.filter(({ prompt }) => prompt === place)
      const { winner, rowSteps, judgeCalls } = replayHalving(
        candidates.map((candidate) => replayPath(candidate, method)),
        method,
      )
      const { outcome } = await runJob(place, 'parm', 'best', { search: 'halving' })
      const { cost, candidate } = outcome
      expect({ winner: winner.source.candidate, rowSteps, judgeCalls }).toEqual({
        winner: candidate,
        rowSteps: cost.rowSteps,
        judgeCalls: cost.judgeCalls,
      })
    }
  })

  it('has the methods of a report do what a job does that names nothing but its accept rule', async () => {
    const { methods } = chooseMethods(bundle.manifest.verifiers, recording.verifiers, {
      stepCount: STEPS + corrections,
      corrections,
      isCoherenceKnown: true,
    })
    for (const place of PROMPTS.keys()) {
      const candidates = recording.candidates.filter(({ prompt }) => prompt === place)
      for (const [name, accept] of [
        ['parm-first', 'first'],
        ['parm-halving', 'best'],
      ] as const) {
        const method = methods.find((chosen) => chosen.name === name) as Method
        const paths = candidates.map((candidate) => replayPath(candidate, method))
        const replayed = method.search === 'halving' ? replayHalving(paths, method) : replayJob(paths, method, 1)
        const { outcome } = await runJob(place, 'parm', accept, { verifier })
        expect({ winner: replayed.winner.source.candidate, rowSteps: replayed.rowSteps }, name).toEqual({
          winner: outcome.candidate,
          rowSteps: outcome.cost.rowSteps,
        })
      }
    }
  })

  it('has something to prune for parm in this test', () => {
    const paths = recording.candidates.map((candidate) => replayPath(candidate, methodOf('parm', 'best')))
    const phases = new Set(paths.map(({ state }) => state.phase))
    expect([...phases].sort()).toEqual(['finished', 'pruned'])
  })

  it('becomes a report with every table and figure, the same each time', async () => {
    const { generator, manifest } = bundle
    const predictions = await PredictionFile.open(recordingPaths(dir).predictions, recording.configuration)
    const parts = {
      verifiers: manifest.verifiers,
      frozen: 'Recorded today.',
      madeBy: 'Made by a test.',
      imageSize: generator.imageSize,
      draw: drawPredictions(predictions, recording.configuration, (codes) => generator.decode(codes)),
    }
    const out = join(dir, 'report')
    const { path, summary } = await writeComparison(out, recording, parts)
    const text = await readFile(path, 'utf8')
    expect(summary.candidates).toBe(4)
    expect(Object.keys(summary.methods)).toEqual([
      'baseline',
      'parm',
      'parm-alone',
      'parm-halving',
      'parm-halving-alone',
      'parm-first',
      'parm-first-patient',
      'parm-unpruned',
      'parm-unpruned-alone',
      'coherence',
    ])
    const { baseline } = summary.methods
    expect(Object.keys(baseline ?? {})).toEqual([
      ...GENEVAL_TASKS,
      'overall',
      'rowSteps',
      'judgeCalls',
      'work',
      'strict',
      'disagreement',
    ])
    expect(summary.methods.coherence).toMatchObject({ judgeCalls: 0, work: CANDIDATES * (STEPS + corrections) })
    expect(baseline).toMatchObject({ single_object: null, rowSteps: STEPS + corrections, judgeCalls: 0 })
    const counted = recording.candidates.filter(({ prompt, correct }) => prompt === 0 && correct.at(-1) === true)
    expect(baseline?.strict.counting).toBe(counted.length / CANDIDATES)
    expect(text).toContain('Left out, because bundle or recording lacks the verifier: orm-zs, orm-ft, prm-zs, prm-ft.')
    expect(text).not.toContain('NaN')

    const named = [...text.matchAll(/\]\(([^)]+)\)/g)].map(([, file]) => file as string)
    const files = await readdir(out)
    expect(files).toEqual(expect.arrayContaining(['comparison.json', 'figure-2.svg', 'cost.svg', ...named]))
    for (const file of files.filter((name) => name.endsWith('.svg'))) {
      expect(await readFile(join(out, file), 'utf8'), file).not.toContain('NaN')
    }
    const again = await writeComparison(join(dir, 'again'), recording, parts)
    expect(await readFile(again.path, 'utf8')).toBe(text)
  })
})
