/**
 * What the job cost and what pruning saved, in row-steps: live while it runs, the service's own count at the end.
 *
 * @import { Run } from './run.js'
 */
import { byId } from './element.js'
import { isOver, rowSteps } from './run.js'
import { plural, seconds } from './wording.js'

export function createLedger() {
  const root = byId('ledger', HTMLDivElement)
  const text = byId('ledger-text', HTMLParagraphElement)

  return {
    hide() {
      root.hidden = true
    },
    /** @param {Run} run */
    show(run) {
      const { possible, spent, saved } = rowSteps(run)
      root.hidden = false
      root.style.setProperty('--spent', String(spent / possible))
      root.style.setProperty('--saved', String(saved / possible))
      root.dataset.over = String(isOver(run))
      text.textContent = ledgerText(run, possible, spent, saved)
    },
  }
}

/** @param {Run} run @param {number} possible @param {number} spent @param {number} saved */
function ledgerText(run, possible, spent, saved) {
  const judgeCalls =
    run.result?.cost.judgeCalls ?? run.candidates.reduce((sum, { verdicts }) => sum + verdicts.length, 0)
  const parts = [`${spent} of ${possible} row-steps`]
  if (saved > 0) parts.push(`${saved} saved (${Math.round((100 * saved) / possible)} %)`)
  parts.push(plural(judgeCalls, 'judge call'))
  if (run.result && run.result.cost.workMs > 0) parts.push(`${seconds(run.result.cost.workMs)} of work`)
  return parts.join(' · ')
}
