/**
 * Says before a prompt is sent that the model knows no word of it. `npm run models:sync` writes the words down; of a model without
 * such a list nothing is said.
 */
import { byId } from './element.js'

const UNREAD =
  'The model knows none of these words. It would draw something, but nobody could say whether it is right. The examples below show what it knows.'

export function createVocabulary() {
  const line = byId('prompt-unread', HTMLParagraphElement)
  /** @type {Record<string, string[]>} by model */
  let words = {}
  let last = { prompt: '', model: '' }

  /** @param {string} prompt @param {string} model */
  function look(prompt, model) {
    last = { prompt, model }
    const known = words[model]
    // As the model's tokenizer reads it.
    const typed = prompt
      .normalize('NFKC')
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
    const isUnread = known !== undefined && prompt.trim() !== '' && !typed.some((word) => known.includes(word))
    line.hidden = !isUnread
    line.textContent = isUnread ? UNREAD : ''
  }

  fetch('/words.json')
    .then(async (response) => {
      if (response.ok) words = await response.json()
      look(last.prompt, last.model)
    })
    // Without it the answer says the same, later.
    .catch(() => undefined)
  return { look }
}
