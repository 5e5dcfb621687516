/**
 * What the job cost and what pruning saved, in row-steps: live while it runs, the service's own count at the end.
 *
 * @import { Plan, Run } from './run.js'
 */
import { byId, element } from './element.js'
import { rowSteps, stepsOfPath } from './run.js'
import { CACHE_WORDS, plural, seconds } from './wording.js'

export function createLedger() {
  const root = byId('ledger', HTMLDivElement)
  const text = byId('ledger-text', HTMLParagraphElement)
  const cache = byId('cache', HTMLSpanElement)

  return {
    /** The most a job can cost. @param {Plan} plan */
    showPlan(plan) {
      const { candidates } = plan
      const steps = stepsOfPath(plan)
      setShares(0, 0)
      cache.hidden = true
      text.textContent = `At most ${plural(candidates * steps, 'row-step')}: ${plural(candidates, 'candidate')} of ${plural(steps, 'step')}`
    },

    /** @param {Run} run */
    show(run) {
      const { possible, spent, saved } = rowSteps(run)
      cache.hidden = false
      cache.textContent = `cache: ${run.cache}`
      cache.title = CACHE_WORDS[run.cache]
      setShares(spent / possible, saved / possible)
      const percent = Math.round((100 * saved) / possible)
      text.replaceChildren(
        `${spent} of ${possible} row-steps · `,
        ...(saved > 0 ? [element('strong', {}, `${saved} saved (${percent} %)`), ' · '] : []),
        `${plural(judgeCalls(run), 'judge call')}${workTime(run)}`,
      )
    },
  }

  /** @param {number} spent @param {number} saved  shares of what is possible, 0..1 */
  function setShares(spent, saved) {
    root.style.setProperty('--spent', String(spent))
    root.style.setProperty('--saved', String(saved))
  }
}

/** Each verdict is one picture shown to the verifier. @param {Run} run */
function judgeCalls({ result, candidates }) {
  return result?.cost.judgeCalls ?? candidates.reduce((sum, { verdicts }) => sum + verdicts.length, 0)
}

/** @param {Run} run */
function workTime({ result, cache }) {
  if (!result) return ''
  const time = ` · ${seconds(result.cost.workMs)} of work`
  return cache === 'hit' ? `${time} when it was made; nothing now` : time
}
