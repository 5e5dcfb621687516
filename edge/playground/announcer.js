/**
 * Speaks through an aria-live log without flooding it: what is said within a pause is joined, and of a running count
 * only the newest is spoken.
 */
const PAUSE_MS = 2500
/** Older lines leave the page; a screen reader has read them. */
const KEPT_LINES = 20

/** @param {HTMLElement} log */
export function createAnnouncer(log) {
  /** @type {Map<string, string>} topic to newest text */
  const pending = new Map()
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer

  function speak() {
    clearTimeout(timer)
    timer = undefined
    if (pending.size === 0) return
    const line = document.createElement('p')
    line.textContent = [...pending.values()].join(' ')
    pending.clear()
    log.append(line)
    while (log.childElementCount > KEPT_LINES) log.firstElementChild?.remove()
  }

  return {
    /**
     * @param {string} topic  a later text of the same topic replaces one not yet spoken
     * @param {string} text
     */
    later(topic, text) {
      pending.set(topic, text)
      timer ??= setTimeout(speak, PAUSE_MS)
    },
    /** Says it now; what was pending is out of date by then. @param {string} text */
    now(text) {
      pending.clear()
      pending.set('now', text)
      speak()
    },
  }
}
