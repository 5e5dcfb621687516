import type { Search } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import type { AcceptRule, Strategy } from '../../../shared/job.ts'
import type { DefaultSearches, EngineJob } from './ports.ts'

/**
 * What a job does beyond the paper's procedure. In halving and forking candidates are held at each judged step until all
 * siblings are there or gone, so that who goes on does not depend on who ran first.
 */
export interface SearchState {
  readonly kind: Search
}

export function searchOf({ search, parameters, verifier }: EngineJob): Search {
  return search ?? defaultSearch(parameters, verifier.search)
}

/** The other strategies ask nothing on the way that a search could go by, and stand for the paper's own. */
export function defaultSearch(
  { strategy, accept }: { readonly strategy: Strategy; readonly accept: AcceptRule },
  searches: DefaultSearches | undefined,
): Search {
  return (strategy === 'parm' ? searches?.[accept] : undefined) ?? 'plain'
}

/** @throws AppError  invalid_request, when the strategy asks nothing that the search could go by */
export function beginSearch(search: Search, strategy: Strategy): SearchState {
  switch (search) {
    case 'plain':
      return { kind: search }
    case 'halving':
    case 'forking':
      if (strategy === 'parm') return { kind: search }
      throw new AppError('invalid_request', `search ${search}: expected strategy parm, got ${strategy}`)
    default: {
      const never: never = search
      throw new TypeError(`unknown search ${never}`)
    }
  }
}

/** Whether siblings are compared at judged steps; clarity and potential are then asked at each of them. */
export function comparesSiblings({ kind }: SearchState): boolean {
  return kind === 'halving' || kind === 'forking'
}
