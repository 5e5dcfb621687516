/** Prompts to start from; the rest of a long list waits behind one button, so that a phone's screen does not fill. */
import { byId, element } from './element.js'

const AT_FIRST = 6

/** @param {{ onUse: (prompt: string) => void }} listener */
export function createExamples(listener) {
  const list = byId('examples', HTMLUListElement)

  /** @param {readonly string[]} prompts */
  function use(prompts) {
    return prompts.map((prompt) => item(prompt, () => listener.onUse(prompt)))
  }

  return {
    /** @param {readonly string[]} prompts */
    show(prompts) {
      const rest = prompts.slice(AT_FIRST)
      list.replaceChildren(...use(prompts.slice(0, AT_FIRST)))
      if (rest.length === 0) return
      const more = item(`${rest.length} more …`, () => {
        const added = use(rest)
        more.replaceWith(...added)
        added[0]?.querySelector('button')?.focus()
      })
      list.append(more)
    },
  }
}

/** @param {string} text @param {() => void} onClick */
function item(text, onClick) {
  const button = element('button', { type: 'button', class: 'example' }, text)
  button.addEventListener('click', onClick)
  return element('li', {}, button)
}
