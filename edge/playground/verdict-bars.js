/**
 * The probabilities of a verdict as labelled bars: the verifier's three answers, and the generator's own opinion where it has one.
 *
 * @import { Verdict } from '../../shared/verdict.ts'
 */
import { element } from './element.js'
import { figure } from './wording.js'

export const QUESTIONS = /** @type {const} */ (['clarity', 'potential', 'alignment', 'coherence'])

export function createVerdictBars() {
  const rows = QUESTIONS.map((question) => {
    const value = element('span', { class: 'figure' }, '–')
    const bar = element('span', { class: 'bar', 'data-question': question, 'aria-hidden': 'true' })
    const row = element('div', { 'data-asked': 'false' }, element('dt', {}, question), element('dd', {}, bar, value))
    return { question, value, bar, row }
  })
  return {
    element: element('dl', { class: 'bars' }, ...rows.map(({ row }) => row)),

    /** Shows the newest answer to each question. @param {readonly Verdict[]} verdicts  oldest first */
    update(verdicts) {
      for (const { question, value, bar, row } of rows) {
        const probability = verdicts.findLast((verdict) => verdict[question] !== undefined)?.[question]
        row.dataset.asked = String(probability !== undefined)
        row.hidden = question === 'coherence' && probability === undefined
        value.textContent = probability === undefined ? '–' : figure(probability)
        bar.style.setProperty('--value', String(probability ?? 0))
      }
    },
  }
}
