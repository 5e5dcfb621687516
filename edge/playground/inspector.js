/**
 * One candidate, large: its picture, why it stands where it stands, and every verdict with the picture that was judged.
 *
 * @import { Candidate, Run } from './run.js'
 */
import { imageUrl } from './api.js'
import { byId, element } from './element.js'
import { keepCrisp } from './picture-scale.js'
import { previewUrl, stepsOfPath } from './run.js'
import { QUESTIONS } from './verdict-bars.js'
import { decisionHint, figure, frameNumber, standing, stateWord } from './wording.js'

/** @param {{ onPickStep: (stepIndex: number) => void }} listener */
export function createInspector(listener) {
  const print = byId('print', HTMLDivElement)
  const image = byId('print-image', HTMLImageElement)
  const invitation = byId('invitation', HTMLParagraphElement)
  const title = byId('inspector-title', HTMLHeadingElement)
  const reason = byId('inspector-reason', HTMLParagraphElement)
  const legend = byId('legend', HTMLOListElement)
  const frame = byId('verdicts-frame', HTMLDivElement)
  const rows = byId('verdict-rows', HTMLTableSectionElement)
  const caption = byId('verdicts-caption', HTMLElement)
  let drawn = ''
  keepCrisp(image)

  /** @param {Run} run @param {Candidate} candidate @param {number | undefined} pickedStep */
  function pictureOf(run, candidate, pickedStep) {
    const isWinner = run.result?.candidate === candidate.candidate
    if (isWinner && run.result && pickedStep === undefined) return imageUrl(run.result.image.sha256)
    return previewUrl(candidate, pickedStep) ?? previewUrl(candidate)
  }

  /** @param {Candidate} candidate @param {number | undefined} pickedStep */
  function drawRows(candidate, pickedStep) {
    const key = `${candidate.candidate} ${candidate.verdicts.length} ${candidate.previews.length} ${pickedStep}`
    if (key === drawn) return
    drawn = key
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.step : undefined
    rows.replaceChildren(
      ...candidate.verdicts.map((verdict) => {
        const { stepIndex, decision } = verdict
        const url = previewUrl(candidate, stepIndex)
        const picture = element('td')
        if (url !== undefined) {
          const pressed = String(stepIndex === pickedStep)
          const button = element(
            'button',
            { type: 'button', class: 'thumb', 'data-step': String(stepIndex), 'aria-pressed': pressed },
            element('img', { src: url, alt: `Show the picture after step ${stepIndex + 1}` }),
          )
          button.addEventListener('click', () => listener.onPickStep(stepIndex))
          picture.append(button)
        }
        const cells = QUESTIONS.map((question) => {
          const probability = verdict[question]
          return element('td', { class: 'figure' }, probability === undefined ? '–' : figure(probability))
        })
        const title = decisionHint(verdict)
        const word = element('td', { class: 'decision', 'data-decision': decision, title })
        word.append(decision)
        return element('tr', {}, element('th', { scope: 'row' }, String(stepIndex + 1)), picture, ...cells, word)
      }),
    )
    const again = rows.querySelector(`[data-step="${focused}"]`)
    if (again instanceof HTMLElement) again.focus()
  }

  return {
    showBlank() {
      drawn = ''
      print.dataset.phase = 'blank'
      image.hidden = true
      invitation.hidden = false
      title.textContent = 'How it goes'
      reason.hidden = true
      legend.hidden = false
      frame.hidden = true
    },

    /** @param {Run} run @param {number} picked @param {number | undefined} pickedStep */
    show(run, picked, pickedStep) {
      const candidate = run.candidates[picked]
      if (!candidate) return
      const word = stateWord(candidate, run)
      const url = pictureOf(run, candidate, pickedStep)
      const step = pickedStep === undefined ? candidate.stepsDone : pickedStep + 1
      print.dataset.phase = word === 'winner' ? 'winner' : candidate.phase
      invitation.hidden = true
      if (url !== undefined && image.getAttribute('src') !== url) image.src = url
      image.hidden = url === undefined
      image.alt =
        word === 'winner' && pickedStep === undefined
          ? `The picture made for “${run.parameters.prompt}”`
          : `Candidate ${picked} after step ${step} of ${stepsOfPath(run.parameters)}`
      title.textContent = `${frameNumber(picked)} ${word}`
      legend.hidden = true
      reason.hidden = false
      reason.textContent = standing(candidate, run)
      frame.hidden = candidate.verdicts.length === 0
      caption.textContent = `Verdicts on candidate ${picked}`
      drawRows(candidate, pickedStep)
    },
  }
}
