/**
 * All candidates of a job as frames of a contact sheet: picture, steps done, verdicts. Hopeless ones are crossed out,
 * the winner is ringed.
 *
 * @import { Candidate, Plan, Run } from './run.js'
 */
import { imageUrl } from './api.js'
import { byId, drawing, element } from './element.js'
import { keepCrisp } from './picture-scale.js'
import { latestVerdict, previewUrl, stepsOfPath } from './run.js'
import { createVerdictBars } from './verdict-bars.js'
import { frameNumber, standing, stateWord } from './wording.js'

const CROSS = ['M9 12C34 37 62 66 92 90', 'M90 8C66 33 35 62 8 93']
const RING = ['M16 20C38 2 78 4 91 30C104 60 80 98 46 96C16 94 0 70 5 44C9 24 30 8 56 7']
/** Up to this many, frames are shown at twice the size. */
const LARGE_UP_TO = 8

/** @param {{ onPick: (candidate: number) => void }} listener */
export function createContactSheet(listener) {
  const list = byId('frames', HTMLOListElement)
  const note = byId('sheet-note', HTMLSpanElement)
  /** @type {ReturnType<typeof createFrame>[]} */
  let frames = []

  /** @param {number} count */
  function setCount(count) {
    if (frames.length === count) return
    frames = Array.from({ length: count }, (_, candidate) => createFrame(candidate, listener.onPick))
    list.replaceChildren(...frames.map((frame) => frame.element))
    list.dataset.size = count <= LARGE_UP_TO ? 'large' : 'small'
  }

  return {
    /** Unexposed frames, before there is a job. @param {Plan} plan */
    showBlank(plan) {
      setCount(plan.candidates)
      for (const frame of frames) frame.clear(stepsOfPath(plan))
      note.textContent = ''
    },
    /** @param {Run} run @param {number} picked */
    show(run, picked) {
      setCount(run.candidates.length)
      for (const [index, candidate] of run.candidates.entries()) frames[index]?.update(candidate, run, index === picked)
      note.textContent = `${run.parameters.strategy}, accept ${run.parameters.accept}, seed ${run.parameters.seed}`
    },
  }
}

/** @param {number} number @param {(candidate: number) => void} onPick */
function createFrame(number, onPick) {
  const image = element('img', { alt: '', hidden: '', decoding: 'async' })
  const button = element('button', { type: 'button', class: 'window', 'aria-pressed': 'false', disabled: '' })
  button.append(image, drawing('cross', CROSS), drawing('ring', RING))
  const state = element('span', { class: 'state' })
  const track = element('div', { class: 'track', 'aria-hidden': 'true' })
  const verdictLine = element('p', { class: 'frame-verdict' })
  const bars = createVerdictBars()
  const edge = element('div', { class: 'frame-edge' }, element('span', { class: 'number' }, frameNumber(number)), state)
  const root = element('li', { class: 'frame' }, button, edge, track, verdictLine, bars.element)
  /** @type {Candidate | undefined} */
  let shown
  let shownAs = ''
  keepCrisp(image)
  button.addEventListener('click', () => onPick(number))

  /** @param {Candidate} candidate @param {number} steps */
  function drawTrack({ verdicts, stepsDone }, steps) {
    track.style.setProperty('--steps', String(steps))
    track.style.setProperty('--done', String(stepsDone))
    if (track.childElementCount === verdicts.length) return
    track.replaceChildren(
      ...verdicts.map(({ stepIndex, decision }) => {
        const dot = element('span', { class: 'dot', 'data-decision': decision })
        dot.style.setProperty('--step', String(stepIndex + 1))
        return dot
      }),
    )
  }

  return {
    element: root,

    /** @param {number} steps */
    clear(steps) {
      shown = undefined
      shownAs = ''
      root.dataset.phase = 'blank'
      root.dataset.picked = 'false'
      image.hidden = true
      button.disabled = true
      button.ariaLabel = `Candidate ${number}: no picture yet`
      button.ariaPressed = 'false'
      state.textContent = ''
      verdictLine.textContent = ''
      track.style.setProperty('--steps', String(steps))
      track.style.setProperty('--done', '0')
      track.replaceChildren()
      bars.update([])
    },

    /** @param {Candidate} candidate @param {Run} run @param {boolean} picked */
    update(candidate, run, picked) {
      button.ariaPressed = String(picked)
      root.dataset.picked = String(picked)
      // Most events concern one candidate; the other frames keep what they show.
      const as = `${run.status} ${stateWord(candidate, run)}`
      if (candidate === shown && as === shownAs) return
      shown = candidate
      shownAs = as
      const steps = stepsOfPath(run.parameters)
      const word = stateWord(candidate, run)
      const verdict = latestVerdict(candidate)
      // A log kept without its previews still has the winner's picture.
      const kept = word === 'winner' && run.result ? imageUrl(run.result.image.sha256) : undefined
      const url = previewUrl(candidate) ?? kept
      root.dataset.phase = word === 'winner' ? 'winner' : candidate.phase
      root.dataset.over = String(run.status !== 'queued' && run.status !== 'running')
      state.textContent = word
      button.disabled = false
      button.ariaLabel = `Candidate ${number}, ${word}. ${standing(candidate, run)}`
      if (url !== undefined && image.getAttribute('src') !== url) image.src = url
      image.hidden = url === undefined
      image.alt = url === undefined ? '' : `Candidate ${number} after step ${candidate.stepsDone} of ${steps}`
      verdictLine.textContent = verdict ? `step ${verdict.stepIndex + 1}: ${verdict.decision}` : ''
      verdictLine.dataset.decision = verdict?.decision ?? ''
      drawTrack(candidate, steps)
      bars.update(candidate.verdicts)
    },
  }
}
