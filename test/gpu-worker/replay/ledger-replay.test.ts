import { describe, expect, it } from 'vitest'
import { replayLedger } from '../../../gpu-worker/src/replay/ledger-replay.ts'
import type { CandidateAccount, VerdictLedger } from '../../../shared/job-record.ts'

const STEPS = 12
const THRESHOLDS = { clarity: 0.5, potential: 0.5, alignment: 0.5 }

type Mid = { step: number; clarity: number; potential?: number }

function candidate(
  number: number,
  outcome: CandidateAccount['outcome'],
  mids: Mid[],
  alignment?: number,
): CandidateAccount {
  const verdicts: CandidateAccount['verdicts'] = mids.map(({ step, clarity, potential }) => ({
    stepIndex: step,
    clarity,
    ...(potential === undefined ? {} : { potential }),
    decision: potential === undefined ? 'unclear' : outcome === 'pruned' ? 'prune' : 'keep',
    verifier: 'parm',
    ms: 1,
  }))
  if (alignment !== undefined) {
    verdicts.push({ stepIndex: STEPS - 1, alignment, decision: 'keep', verifier: 'parm', ms: 1 })
  }
  const last = mids.at(-1)?.step ?? 0
  return { candidate: number, outcome, stepsDone: outcome === 'pruned' ? last + 1 : STEPS, verdicts }
}

const ledger = (winner: number, candidates: CandidateAccount[], accept: 'best' | 'first' = 'best'): VerdictLedger => ({
  jobId: `job_${'0'.repeat(26)}`,
  status: 'succeeded',
  model: 'test-model',
  revision: 'a'.repeat(64),
  strategy: 'parm',
  accept,
  verifier: 'parm',
  corrections: 0,
  steps: STEPS,
  candidates,
  choice: { candidate: winner, reason: 'best', because: '' },
})

const JOB = ledger(1, [
  candidate(0, 'lost', [{ step: 5, clarity: 0.9, potential: 0.6 }], 0.4),
  candidate(1, 'won', [{ step: 5, clarity: 0.9, potential: 0.8 }], 0.9),
  candidate(2, 'pruned', [{ step: 5, clarity: 0.9, potential: 0.2 }]),
])

describe('a ledger decided anew', () => {
  // Issue 17: with no threshold changed, jobs whose siblings were compared had "winner 0, now unknown".
  it('by the same rules has the same winner, whatever else pruned its candidates', () => {
    const halved = ledger(0, [
      candidate(0, 'won', [{ step: 5, clarity: 0.9, potential: 0.8 }], 0.9),
      candidate(1, 'pruned', [{ step: 5, clarity: 0.9, potential: 0.7 }]),
    ])
    const baseline = { ...ledger(0, [{ candidate: 0, outcome: 'won', stepsDone: STEPS, verdicts: [] }]) }
    for (const job of [halved, { ...baseline, strategy: 'baseline' } as const, JOB]) {
      const replay = replayLedger(job, THRESHOLDS, 0, THRESHOLDS)
      expect(replay).toMatchObject({ newWinner: replay.winner, rowStepsSaved: 0, rowStepsRegretted: 0, unknown: [] })
    }
    // A threshold that decides nothing otherwise changes nothing; one that does leaves open what siblings were pruned for.
    expect(replayLedger(halved, { ...THRESHOLDS, potential: 0.6 }, 0, THRESHOLDS).newWinner).toBe(0)
    expect(replayLedger(halved, { ...THRESHOLDS, potential: 0.75 }, 0, THRESHOLDS).newWinner).toBe(0)
    expect(replayLedger(halved, { ...THRESHOLDS, clarity: 0.95 }, 0, THRESHOLDS).newWinner).toBeUndefined()
  })

  it('ends where another candidate is not worth it, if the job stopped at the first', () => {
    const accounts = [0.6, 0.8, 0.85].map((alignment, index) =>
      candidate(index, 'lost', [{ step: 5, clarity: 0.9, potential: 0.9 }], alignment),
    )
    const strict = { ...THRESHOLDS, alignment: 0.9 }
    expect(replayLedger(ledger(2, accounts, 'first'), strict).newWinner).toBe(2)
    // (1 - 0.8) / 3 after the second.
    expect(replayLedger(ledger(2, accounts, 'first'), strict, 0.07).newWinner).toBe(1)
    expect(replayLedger(ledger(2, accounts), strict, 0.07).newWinner).toBe(2)
  })

  it('goes by the scores that its verdicts tell, and by answers where they tell none', () => {
    const fused = (account: CandidateAccount, ...scores: (number | undefined)[]): CandidateAccount => ({
      ...account,
      verdicts: account.verdicts.map((verdict, index) => {
        const score = scores[index]
        return score === undefined ? verdict : { ...verdict, coherence: 0.5, score }
      }),
    })
    const mid = [{ step: 5, clarity: 0.9, potential: 0.9 }]
    const accounts = [
      fused(candidate(0, 'won', mid, 0.6), 0.7, 0.95),
      fused(candidate(1, 'lost', mid, 0.9), 0.8, 0.65),
      fused(candidate(2, 'pruned', mid), 0.4),
    ]
    expect(replayLedger(ledger(0, accounts), THRESHOLDS)).toMatchObject({ newWinner: 0, score: 0.95, newScore: 0.95 })
    // By potential alone nobody would be pruned; by score the first is as well.
    const stricter = replayLedger(ledger(0, accounts), { ...THRESHOLDS, potential: 0.75 })
    expect(stricter).toMatchObject({ newWinner: 1, newScore: 0.65, rowStepsSaved: STEPS - 6 })
  })

  it('counts the corrections of a path to its steps', () => {
    const corrected: VerdictLedger = {
      ...ledger(1, [
        candidate(0, 'lost', [], 0.4),
        candidate(1, 'won', [{ step: 7, clarity: 0.9, potential: 0.8 }], 0.9),
      ]),
      steps: STEPS - 4,
      corrections: 4,
    }
    expect(replayLedger(corrected, THRESHOLDS)).toMatchObject({ newWinner: 1, newScore: 0.9, rowSteps: 2 * STEPS })
  })

  it('by the thresholds of the job itself ends as the job did', () => {
    expect(replayLedger(JOB, THRESHOLDS)).toMatchObject({
      rowSteps: 30,
      rowStepsSaved: 0,
      rowStepsRegretted: 0,
      winner: 1,
      newWinner: 1,
      unknown: [],
    })
  })

  it('prunes more where more potential is asked for, and saves the rest of those paths', () => {
    expect(replayLedger(JOB, { ...THRESHOLDS, potential: 0.7 })).toMatchObject({ rowStepsSaved: 6, newWinner: 1 })
  })

  it('loses a winner that is pruned, and says what for', () => {
    const strict = replayLedger(
      ledger(0, [
        candidate(0, 'won', [{ step: 5, clarity: 0.9, potential: 0.6 }], 0.9),
        candidate(1, 'lost', [{ step: 5, clarity: 0.9, potential: 0.8 }], 0.7),
      ]),
      { ...THRESHOLDS, potential: 0.7 },
    )
    expect(strict).toMatchObject({ rowStepsSaved: 6, winner: 0, score: 0.9, newWinner: 1, newScore: 0.7 })
  })

  it('resumes the most hopeful where all are pruned', () => {
    expect(replayLedger(JOB, { ...THRESHOLDS, potential: 0.95 }).newWinner).toBe(1)
  })

  it('regrets a prune that would not happen now: what that path would have cost, and that nobody knows its end', () => {
    expect(replayLedger(JOB, { ...THRESHOLDS, potential: 0.1 })).toMatchObject({
      rowStepsSaved: 0,
      rowStepsRegretted: 6,
      newWinner: undefined,
      unknown: [2],
    })
  })

  it('does not know what was never asked', () => {
    const unclear = ledger(0, [candidate(0, 'won', [{ step: 5, clarity: 0.4 }], 0.9)])
    expect(replayLedger(unclear, { ...THRESHOLDS, clarity: 0.3 })).toMatchObject({ unknown: [0], newWinner: undefined })
    expect(replayLedger(unclear, { ...THRESHOLDS, clarity: 0.6 })).toMatchObject({ unknown: [], newWinner: 0 })
  })

  it('with accept first takes the first that passes, whatever is unknown after it', () => {
    const first = ledger(
      1,
      [
        candidate(0, 'lost', [{ step: 5, clarity: 0.9, potential: 0.6 }], 0.4),
        candidate(1, 'won', [{ step: 5, clarity: 0.9, potential: 0.8 }], 0.9),
        candidate(2, 'pruned', [{ step: 5, clarity: 0.9, potential: 0.2 }]),
      ],
      'first',
    )
    expect(replayLedger(first, { ...THRESHOLDS, alignment: 0.3, potential: 0.1 }).newWinner).toBe(0)
    expect(replayLedger(first, { ...THRESHOLDS, potential: 0.1 }).newWinner).toBe(1)
  })
})
