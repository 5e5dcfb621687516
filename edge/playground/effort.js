/**
 * The knob that everybody has: how hard the service verifies. It sets the fields below it, as OpenAI's `quality` does, and says what
 * that was measured to give.
 *
 * @import { ModelCard } from '../../shared/model-card.ts'
 */
import { byId, element } from './element.js'

/** @typedef {NonNullable<ModelCard['quality']>} Points */
/** @typedef {{ candidates: number, accept: string }} Chosen */

const NAMES = /** @type {const} */ (['low', 'auto', 'medium', 'high'])

/** @param {{ onChoose: (point: Chosen) => void }} listener */
export function createEffort(listener) {
  const hint = byId('effort-hint', HTMLParagraphElement)
  /** @type {Points} */
  let points = {}
  /** @type {Map<string, HTMLInputElement>} */
  let buttons = new Map()

  return {
    /** @param {Points} known  of the chosen model */
    show(known) {
      points = known
      const names = NAMES.filter((name) => points[name])
      byId('effort', HTMLFieldSetElement).hidden = names.length === 0
      buttons = new Map(names.map((name) => [name, element('input', { type: 'radio', name: 'effort', value: name })]))
      byId('efforts', HTMLDivElement).replaceChildren(
        ...[...buttons].map(([name, input]) => element('label', {}, input, element('span', {}, name))),
      )
      for (const [name, input] of buttons) {
        const point = points[/** @type {keyof Points} */ (name)]
        input.addEventListener('change', () => point && listener.onChoose(point))
      }
    },

    /** Says which effort the fields stand for, if any. @param {Chosen & { strategy: string }} fields */
    mark({ candidates, accept, strategy }) {
      const name = NAMES.find((one) => points[one]?.candidates === candidates && points[one]?.accept === accept)
      for (const [own, input] of buttons) input.checked = own === name && strategy === 'parm'
      const measured = name && points[name]?.measured
      hint.textContent = measured
        ? `Measured: ${Math.round(measured.score * 100)} of 100 pictures right, ${measured.rowSteps} row-steps each.`
        : 'How hard the service verifies: candidates and accept by one name.'
    },
  }
}
