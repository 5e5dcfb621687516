/**
 * The line that says where the job stands, its clock, and the alarm for what went wrong.
 */
import { byId, element } from './element.js'
import { seconds } from './wording.js'

const CLOCK_MS = 100

export function createStatus() {
  const text = byId('status-text', HTMLSpanElement)
  const clock = byId('clock', HTMLSpanElement)
  const alarm = byId('alarm', HTMLDivElement)
  let startedAt = 0
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let ticking

  function showTime() {
    clock.textContent = seconds(performance.now() - startedAt)
  }

  function stopClock() {
    if (ticking === undefined) return
    clearInterval(ticking)
    ticking = undefined
    showTime()
  }

  return {
    /** @param {string} line */
    say(line) {
      text.textContent = line
    },

    startClock() {
      stopClock()
      startedAt = performance.now()
      ticking = setInterval(showTime, CLOCK_MS)
    },

    /** The time it stopped at stays. */
    stopClock,

    clearClock() {
      stopClock()
      clock.textContent = ''
    },

    /** @param {string} message @param {{ label: string, act: () => void }} [remedy] */
    alarm(message, remedy) {
      alarm.replaceChildren(element('p', {}, message))
      if (remedy) {
        const button = element('button', { type: 'button' }, remedy.label)
        button.addEventListener('click', remedy.act)
        alarm.append(button)
      }
      alarm.hidden = false
    },

    hideAlarm() {
      alarm.hidden = true
    },
  }
}
