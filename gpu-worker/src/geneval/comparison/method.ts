import type { BundleManifest, Search } from '../../../../shared/bundle.ts'
import type { AcceptRule, Strategy } from '../../../../shared/job.ts'
import { worthwhileSteps } from '../../engine/judge-plan.ts'
import type { Fusion, Judgement } from '../../engine/ports.ts'
import { type Stopping, stoppingOf } from '../../engine/stopping.ts'
import { economicsOf, scaleSteps } from '../../models/judged-steps.ts'

/** What can be told from candidates that were sampled without it: a fork draws tokens of its own. */
export const REPLAYED_SEARCHES = ['plain', 'halving'] as const satisfies readonly Search[]

/** One way to choose among a prompt's candidates: a strategy with its judge and settings. */
export interface Method {
  /** Key in JSON and in figures. */
  readonly name: string
  /** In tables. */
  readonly label: string
  readonly strategy: Strategy
  readonly accept: AcceptRule
  readonly search: (typeof REPLAYED_SEARCHES)[number]
  /** Name of the verifier in the bundle, or THE_GENERATOR; undefined where nobody is asked. */
  readonly verifier: string | undefined
  /** A task passes at or above its threshold, 0..1. */
  readonly thresholds: Judgement
  /** How its answers and the generator's coherence are weighed; undefined where they stand alone. */
  readonly fusion: Fusion | undefined
  /** Step indices at which `parm` asks for clarity, ascending. */
  readonly judgedSteps: readonly number[]
  /** As of the engine's `Stopping`, 0..1. */
  readonly leastGain: number
  /** What one answer and the decoding of its picture cost, in row-steps; 0 where nobody is asked or the bundle does not say. */
  readonly callRowSteps: number
}

/** Instead of a verifier's name: a candidate's coherence is its score, which the steps bring with them. */
export const THE_GENERATOR = 'the generator'

/** When a job of `count` candidates ends early under a method. */
export function stoppingIn({ strategy, accept, search, leastGain }: Method, count: number): Stopping {
  return stoppingOf({ strategy, accept, isCompared: search === 'halving', candidateCount: count, leastGain })
}

type Role = Pick<Method, 'name' | 'label' | 'strategy' | 'accept' | 'verifier'> &
  Partial<Pick<Method, 'search' | 'leastGain'>> & {
    /** Whether the verifier's answers stand alone, although the bundle weighs the generator's coherence with them. */
    readonly isAlone?: boolean
  }

/** As a job's own `judging.leastGain`: what accept `first` brings where its caller would rather wait. */
const PATIENT = 0.005

/**
 * Which verifier plays which part of the paper's Table 1, Table 3 and Figure 2, in the order of its tables. The others
 * ask what the paper leaves open: what stopping at the first accepted picture costs, what pruning changes, and what the
 * generator's own opinion is worth, which every verifier of the first rows has beside its own.
 */
const ROLES: readonly Role[] = [
  { name: 'baseline', label: 'Baseline', strategy: 'baseline', accept: 'best', verifier: undefined },
  { name: 'orm-zs', label: 'ORM, zero-shot', strategy: 'orm', accept: 'best', verifier: 'orm-zs' },
  { name: 'orm-ft', label: 'ORM, fine-tuned', strategy: 'orm', accept: 'best', verifier: 'orm-ft' },
  { name: 'prm-zs', label: 'PRM, zero-shot', strategy: 'prm', accept: 'best', verifier: 'prm-zs' },
  { name: 'prm-ft', label: 'PRM, fine-tuned', strategy: 'prm', accept: 'best', verifier: 'prm-ft' },
  { name: 'parm', label: 'PARM', strategy: 'parm', accept: 'best', verifier: 'parm' },
  { name: 'parm-first', label: 'PARM, accept first', strategy: 'parm', accept: 'first', verifier: 'parm' },
  {
    name: 'parm-first-patient',
    label: 'PARM, accept first, patient',
    strategy: 'parm',
    accept: 'first',
    verifier: 'parm',
    leastGain: PATIENT,
  },
  {
    name: 'orm-ft-first',
    label: 'ORM, fine-tuned, accept first',
    strategy: 'orm',
    accept: 'first',
    verifier: 'orm-ft',
  },
  {
    name: 'parm-halving',
    label: 'PARM, halving',
    strategy: 'parm',
    accept: 'best',
    search: 'halving',
    verifier: 'parm',
  },
  { name: 'parm-unpruned', label: "PARM's alignment alone", strategy: 'orm', accept: 'best', verifier: 'parm' },
  {
    name: 'coherence',
    label: 'Coherence, no verifier',
    strategy: 'orm',
    accept: 'best',
    verifier: THE_GENERATOR,
  },
  ...(['orm-ft', 'prm-ft', 'parm'] as const).map(
    (verifier): Role => ({
      name: `${verifier}-alone`,
      label: `${{ 'orm-ft': 'ORM, fine-tuned', 'prm-ft': 'PRM, fine-tuned', parm: 'PARM' }[verifier]}, without coherence`,
      strategy: ({ 'orm-ft': 'orm', 'prm-ft': 'prm', parm: 'parm' } as const)[verifier],
      accept: 'best',
      verifier,
      isAlone: true,
    }),
  ),
]

const NOBODY_ASKED = {
  thresholds: { clarity: 0, potential: 0, alignment: 0 },
  fusion: undefined,
  judgedSteps: [],
  leastGain: 0,
  callRowSteps: 0,
}

/** What can be compared, and what cannot. */
export interface MethodChoice {
  readonly methods: readonly Method[]
  /** Verifiers of the table that bundle or recording lack. */
  readonly absent: readonly string[]
  /** Verifiers of the recording that have no part in the table, or that the bundle does not have any more. */
  readonly unused: readonly string[]
}

/**
 * The methods whose verifier both the bundle and the recording have, with the bundle's thresholds and those of its judged
 * steps that an engine would judge.
 *
 * @param recorded  names of the verifiers that have read the recording
 * @param taken     steps of a recorded path
 */
export function chooseMethods(
  verifiers: BundleManifest['verifiers'],
  recorded: readonly string[],
  taken: { readonly stepCount: number; readonly corrections: number; readonly isCoherenceKnown: boolean },
): MethodChoice {
  const { corrections } = taken
  const firstPass = taken.stepCount - corrections
  const isThere = (name: string): boolean => Object.hasOwn(verifiers, name) && recorded.includes(name)
  const methods = ROLES.flatMap((role): Method[] => {
    const { search = 'plain', isAlone = false } = role
    if (role.verifier === undefined) return [{ ...role, ...NOBODY_ASKED, search }]
    if (role.verifier === THE_GENERATOR) return taken.isCoherenceKnown ? [{ ...role, ...NOBODY_ASKED, search }] : []
    const entry = isThere(role.verifier) ? verifiers[role.verifier] : undefined
    if (entry === undefined || (isAlone && entry.fusion === undefined)) return []
    const listed = scaleSteps(entry.judgedSteps, entry.judgedStepsOf, firstPass, corrections)
    const judgedSteps = worthwhileSteps(listed, firstPass, economicsOf(entry), search, corrections)
    const callRowSteps = entry.economics?.callRowSteps ?? 0
    const leastGain = role.leastGain ?? entry.leastGain?.[role.accept] ?? 0
    const fusion = isAlone ? undefined : entry.fusion
    return [{ ...role, thresholds: entry.thresholds, fusion, judgedSteps, search, leastGain, callRowSteps }]
  })
  const wanted = new Set(ROLES.flatMap(({ verifier }) => (verifier === THE_GENERATOR ? [] : (verifier ?? []))))
  return {
    methods,
    absent: [...wanted].filter((name) => !isThere(name)),
    unused: recorded.filter((name) => !wanted.has(name) || !isThere(name)),
  }
}
