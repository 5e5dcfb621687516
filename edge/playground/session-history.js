/**
 * The pictures of this visit, newest first. Runs are kept whole, so that going back to one shows all its verdicts.
 *
 * @import { Run } from './run.js'
 */
import { imageUrl } from './api.js'
import { byId, element } from './element.js'
import { keepCrisp } from './picture-scale.js'

/** A run of 32 candidates keeps a few megabytes of previews. */
const KEPT_RUNS = 12

/** @param {{ onOpen: (run: Run) => void }} listener */
export function createSessionHistory(listener) {
  const section = byId('history', HTMLElement)
  const list = byId('history-list', HTMLOListElement)
  /** @type {{ run: Run, item: HTMLLIElement }[]} newest first */
  let kept = []

  return {
    /** @param {Run} run  a succeeded one */
    add(run) {
      if (!run.result) return
      for (const { item } of kept.filter((entry) => entry.run.jobId === run.jobId)) item.remove()
      kept = kept.filter((entry) => entry.run.jobId !== run.jobId)
      const { prompt, seed } = run.parameters
      const image = element('img', { src: imageUrl(run.result.image.sha256), alt: `${prompt}, seed ${seed}` })
      const button = element('button', { type: 'button', title: `${prompt}, seed ${seed}` }, image)
      const item = element('li', {}, button)
      keepCrisp(image)
      button.addEventListener('click', () => listener.onOpen(run))
      list.prepend(item)
      kept.unshift({ run, item })
      for (const { item: old } of kept.splice(KEPT_RUNS)) old.remove()
      section.hidden = false
    },
  }
}
