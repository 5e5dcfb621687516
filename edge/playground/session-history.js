/**
 * The latest pictures, newest first. Runs of this visit are kept whole, so that going back to one shows all its verdicts at once; of
 * those before a reload only what names them is kept, and the service is asked for the rest.
 *
 * @import { Run } from './run.js'
 */
import { imageUrl } from './api.js'
import { byId, element } from './element.js'
import { keepCrisp } from './picture-scale.js'

/** A run of 32 candidates keeps a few megabytes of previews. */
const KEPT_RUNS = 12
/** In the tab's own storage, which ends with the tab. */
const STORED = 'history'

/** @typedef {{ jobId: string, prompt: string, seed: number, sha256: string }} Named  what is left of a run after a reload */

/** @param {{ onOpen: (run: Run) => void, onLookUp: (jobId: string) => void }} listener */
export function createSessionHistory(listener) {
  const section = byId('history', HTMLElement)
  const list = byId('history-list', HTMLOListElement)
  /** @type {{ named: Named, item: HTMLLIElement }[]} newest first */
  let kept = []

  /** @param {Named} named @param {() => void} onClick */
  function put(named, onClick) {
    for (const { item } of kept.filter((entry) => entry.named.jobId === named.jobId)) item.remove()
    kept = kept.filter((entry) => entry.named.jobId !== named.jobId)
    const words = `${named.prompt}, seed ${named.seed}`
    const image = element('img', { src: imageUrl(named.sha256), alt: words })
    const button = element('button', { type: 'button', title: words }, image)
    const item = element('li', {}, button)
    keepCrisp(image)
    button.addEventListener('click', onClick)
    list.prepend(item)
    kept.unshift({ named, item })
    for (const { item: old } of kept.splice(KEPT_RUNS)) old.remove()
    section.hidden = false
  }

  for (const named of stored().reverse()) put(named, () => listener.onLookUp(named.jobId))

  return {
    /** @param {Run} run  a succeeded one */
    add(run) {
      if (!run.result) return
      const { prompt, seed } = run.parameters
      put({ jobId: run.jobId, prompt, seed, sha256: run.result.image.sha256 }, () => listener.onOpen(run))
      sessionStorage.setItem(STORED, JSON.stringify(kept.map(({ named }) => named)))
    },
  }
}

/** @returns {Named[]} newest first */
function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? '[]')
  } catch {
    return []
  }
}
