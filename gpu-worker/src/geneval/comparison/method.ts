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
  /** Whether the answers stand alone, although the bundle weighs the generator's coherence with them. */
  readonly isAlone: boolean
  /** Whether a job does this that names nothing but its accept rule and its number of candidates. */
  readonly isServed: boolean
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
    /** Whether all steps are judged that the bundle lists, as the paper does, or those of them that pay, as the engine does. */
    readonly judges?: 'listed'
    /** Of the roles that a bundle can serve with an accept rule, those stay that have its search. */
    readonly isOfServed?: boolean
  }

/** As a job's own `judging.leastGain`: what accept `first` brings where its caller would rather wait. */
const PATIENT = 0.005

const BEST = { accept: 'best' } as const
const FIRST = { accept: 'first' } as const

/**
 * Which verifier plays which part of the paper's Table 1, Table 3 and Figure 2, in the order of its tables. The others
 * ask what the paper leaves open: what a job does that names no settings, what stopping at the first accepted picture costs, what
 * pruning changes, and what the generator's own opinion is worth without a verifier.
 */
const ROLES: readonly Role[] = [
  { ...BEST, name: 'baseline', label: 'Baseline', strategy: 'baseline', verifier: undefined },
  { ...BEST, name: 'orm-zs', label: 'ORM, zero-shot', strategy: 'orm', verifier: 'orm-zs' },
  { ...BEST, name: 'orm-ft', label: 'ORM, fine-tuned', strategy: 'orm', verifier: 'orm-ft' },
  { ...BEST, name: 'prm-zs', label: 'PRM, zero-shot', strategy: 'prm', verifier: 'prm-zs' },
  { ...BEST, name: 'prm-ft', label: 'PRM, fine-tuned', strategy: 'prm', verifier: 'prm-ft' },
  { ...BEST, name: 'parm', label: 'PARM, the paper’s rule', strategy: 'parm', verifier: 'parm', judges: 'listed' },
  { ...BEST, name: 'parm-halving', label: 'PARM, halving', strategy: 'parm', search: 'halving', verifier: 'parm' },
  { ...BEST, name: 'parm-plain', label: 'PARM, plain', strategy: 'parm', verifier: 'parm', isOfServed: true },
  { ...FIRST, name: 'parm-first', label: 'PARM, accept first', strategy: 'parm', verifier: 'parm' },
  {
    ...FIRST,
    name: 'parm-first-patient',
    label: 'PARM, accept first, patient',
    strategy: 'parm',
    verifier: 'parm',
    leastGain: PATIENT,
  },
  { ...FIRST, name: 'orm-ft-first', label: 'ORM, fine-tuned, accept first', strategy: 'orm', verifier: 'orm-ft' },
  { ...BEST, name: 'parm-unpruned', label: 'PARM’s alignment alone', strategy: 'orm', verifier: 'parm' },
  { ...BEST, name: 'coherence', label: 'Coherence alone, no verifier', strategy: 'orm', verifier: THE_GENERATOR },
]

const NOBODY_ASKED = {
  thresholds: { clarity: 0, potential: 0, alignment: 0 },
  fusion: undefined,
  judgedSteps: [],
  leastGain: 0,
  isAlone: false,
  isServed: false,
  callRowSteps: 0,
}

/** What can be compared, and what cannot. */
export interface MethodChoice {
  readonly methods: readonly Method[]
  /** Verifiers of the table that bundle or recording lack. */
  readonly absent: readonly string[]
  /** Verifiers of the recording that have no part in the table, or that the bundle does not have any more. */
  readonly unused: readonly string[]
  /** Verifiers of the table for which the bundle does not say how coherence is weighed with their answers, though it does for others. */
  readonly unweighed: readonly string[]
}

/**
 * The methods whose verifier both the bundle and the recording have, with the bundle's thresholds and those of its judged
 * steps that an engine would judge. Where the bundle weighs coherence with a verifier's answers, each of its methods that takes
 * the best is there without it as well.
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
    const { judges, isOfServed = false, search = 'plain', ...part } = role
    if (part.verifier === undefined) return [{ ...part, ...NOBODY_ASKED, search }]
    if (part.verifier === THE_GENERATOR) return taken.isCoherenceKnown ? [{ ...part, ...NOBODY_ASKED, search }] : []
    const entry = isThere(part.verifier) ? verifiers[part.verifier] : undefined
    if (entry === undefined) return []
    const isServed =
      part.strategy === 'parm' &&
      judges === undefined &&
      part.leastGain === undefined &&
      search === (entry.search?.[part.accept] ?? 'plain')
    if (isOfServed && !isServed) return []
    const listed = scaleSteps(entry.judgedSteps, entry.judgedStepsOf, firstPass, corrections)
    const method: Method = {
      ...part,
      search,
      thresholds: entry.thresholds,
      fusion: entry.fusion,
      judgedSteps:
        judges === 'listed' ? listed : worthwhileSteps(listed, firstPass, economicsOf(entry), search, corrections),
      leastGain: part.leastGain ?? entry.leastGain?.[part.accept] ?? 0,
      isAlone: false,
      isServed,
      callRowSteps: entry.economics?.callRowSteps ?? 0,
    }
    return part.accept === 'best' && entry.fusion !== undefined ? [method, withoutCoherence(method)] : [method]
  })
  const wanted = new Set(ROLES.flatMap(({ verifier }) => (verifier === THE_GENERATOR ? [] : (verifier ?? []))))
  return {
    methods,
    absent: [...wanted].filter((name) => !isThere(name)),
    unused: recorded.filter((name) => !wanted.has(name) || !isThere(name)),
    unweighed: methods.some(({ fusion }) => fusion !== undefined)
      ? [...wanted].filter((name) => isThere(name) && verifiers[name]?.fusion === undefined)
      : [],
  }
}

function withoutCoherence(method: Method): Method {
  const { name, label } = method
  return {
    ...method,
    name: `${name}-alone`,
    label: `${label}, without coherence`,
    fusion: undefined,
    isAlone: true,
    isServed: false,
  }
}
