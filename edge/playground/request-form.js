/**
 * The form: what a person typed, and what the service says about it. Values are sent as typed and judged by the service
 * alone, so that page and API cannot disagree about what is permitted.
 *
 * @import { FieldProblem } from '../../shared/error-code.ts'
 * @import { ModelCard } from '../../shared/model-card.ts'
 * @import { TakenHome } from './repeat.js'
 * @import { JobBody } from './api.js'
 * @import { FormValues } from './permalink.js'
 * @import { Plan } from './run.js'
 */
import { useApiKey } from './api.js'
import { createEffort } from './effort.js'
import { byId, element } from './element.js'
import { createExamples } from './examples.js'
import { FIELDS } from './permalink.js'
import { createVocabulary } from './vocabulary.js'

const NUMERIC = /** @type {ReadonlySet<string>} */ (
  new Set(['candidates', 'seed', 'steps', 'corrections', 'guidance', 'deadlineMs'])
)
const IN_MORE = /** @type {ReadonlySet<string>} */ (
  new Set(['steps', 'corrections', 'guidance', 'model', 'verifier', 'deadlineMs', 'format', 'size'])
)
/** @type {Record<string, string>} */
const HINTS = {
  parm: 'Judged while forming: clarity, then potential; survivors by alignment.',
  prm: 'A score at every judged step; the last one counts.',
  orm: 'Only finished pictures are judged; none is pruned.',
  baseline: 'Nobody is asked; the first candidate is the picture.',
  first: 'Ends at the first finished picture that passes. Fastest.',
  best: 'Every survivor is finished and judged; the highest wins.',
}

/**
 * @typedef {object} FormListener
 * @property {() => void} onSubmit
 * @property {() => void} onCancel
 * @property {() => void} onChange  a value was changed by hand
 */

/** @param {FormListener} listener */
export function createRequestForm(listener) {
  const form = byId('request', HTMLFormElement)
  const prompt = byId('prompt', HTMLTextAreaElement)
  const candidates = byId('candidates', HTMLInputElement)
  const model = byId('model', HTMLSelectElement)
  const verifier = byId('verifier', HTMLSelectElement)
  const seed = byId('seed', HTMLInputElement)
  const generate = byId('generate', HTMLButtonElement)
  const cancel = byId('cancel', HTMLButtonElement)
  const formProblem = byId('form-problem', HTMLParagraphElement)
  const apiKey = byId('api-key', HTMLInputElement)
  const effort = createEffort({
    onChoose({ candidates: count, accept }) {
      candidates.value = String(count)
      const rule = form.elements.namedItem('accept')
      if (rule && 'value' in rule) rule.value = accept
      describe()
      listener.onChange()
    },
  })
  const vocabulary = createVocabulary()
  const examples = createExamples({
    onUse(example) {
      prompt.value = example
      vocabulary.look(example, model.value)
      clearProblem('prompt')
      listener.onChange()
      prompt.focus()
    },
  })
  /** @type {readonly ModelCard[]} */
  let cards = []

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (generate.getAttribute('aria-disabled') !== 'true') listener.onSubmit()
  })
  // A prompt is one line to the model, so Enter submits as in a one-line field.
  prompt.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })
  form.addEventListener('input', (event) => {
    if (event.target instanceof Element) clearProblem(event.target.getAttribute('name') ?? '')
    describe()
    vocabulary.look(prompt.value, model.value)
    listener.onChange()
  })
  model.addEventListener('change', showModel)
  cancel.addEventListener('click', listener.onCancel)
  apiKey.addEventListener('change', () => useApiKey(apiKey.value.trim()))
  byId('new-seed', HTMLButtonElement).addEventListener('click', () => {
    const [random] = crypto.getRandomValues(new Uint32Array(1))
    seed.value = String(random)
    clearProblem('seed')
    listener.onChange()
  })

  function describe() {
    const { strategy = '', accept = '' } = values()
    byId('candidates-shown', HTMLOutputElement).value = candidates.value
    byId('strategy-hint', HTMLParagraphElement).textContent = HINTS[strategy] ?? ''
    effort.mark({ candidates: Number(candidates.value), accept, strategy })
    byId('accept-hint', HTMLParagraphElement).textContent =
      strategy === 'baseline' ? 'Without effect: baseline asks no verifier.' : (HINTS[accept] ?? '')
  }

  function card() {
    return cards.find(({ id }) => id === model.value) ?? cards[0]
  }

  /** Placeholders, verifiers and examples are the chosen model's. */
  function showModel() {
    const shown = card()
    if (!shown) return
    byId('steps', HTMLInputElement).placeholder = String(shown.defaults.steps)
    byId('corrections', HTMLInputElement).placeholder = String(shown.defaults.corrections ?? 0)
    byId('guidance', HTMLInputElement).placeholder = String(shown.defaults.guidance)
    verifier.replaceChildren(
      ...shown.verifiers.map((name) =>
        element('option', name === shown.defaultVerifier ? { value: name, selected: '' } : { value: name }, name),
      ),
    )
    examples.show(shown.examples)
    effort.show(shown.quality ?? {})
    showSizes(shown)
    describe()
  }

  /** @returns {FormValues} */
  function values() {
    const data = new FormData(form)
    return Object.fromEntries(FIELDS.map((field) => [field, String(data.get(field) ?? '')]))
  }

  /** @param {string} field */
  function controlsOf(field) {
    return [...form.elements].filter((control) => control.getAttribute('name') === field)
  }

  /** @param {string} field */
  function clearProblem(field) {
    const line = document.getElementById(`${field}-problem`)
    if (!line) return
    line.hidden = true
    for (const control of controlsOf(field)) control.removeAttribute('aria-invalid')
  }

  return {
    values,

    /** What the job would cost at most. @returns {Plan} */
    plan() {
      const defaults = card()?.defaults
      const { steps, corrections } = values()
      return {
        candidates: Number(candidates.value),
        steps: Number(steps) || (defaults?.steps ?? 0),
        corrections: corrections ? Number(corrections) : (defaults?.corrections ?? 0),
      }
    },

    askForApiKey() {
      byId('api-key-field', HTMLDivElement).hidden = false
      apiKey.focus()
    },

    /** @param {readonly ModelCard[]} models */
    setModels(models) {
      cards = models
      const chosen = model.value
      model.replaceChildren(...models.map(({ id }) => element('option', { value: id }, id)))
      if (models.some(({ id }) => id === chosen)) model.value = chosen
      showModel()
    },

    /** Fields that are absent go back to their defaults. @param {FormValues} filled */
    fill(filled) {
      form.reset()
      if (filled.model) model.value = filled.model
      showModel()
      for (const field of FIELDS) {
        const value = filled[field]
        if (value === undefined || field === 'model') continue
        const control = form.elements.namedItem(field)
        if (control && 'value' in control) control.value = value
        if (IN_MORE.has(field)) byId('more', HTMLDetailsElement).open ||= isUnusual(field, value)
      }
      for (const field of FIELDS) clearProblem(field)
      describe()
      vocabulary.look(prompt.value, model.value)
    },

    /** @returns {JobBody} */
    body() {
      /** @type {Record<string, string | number>} */
      const options = {}
      const { prompt: text = '', format: _, size: __, ...rest } = values()
      for (const [field, typed] of Object.entries(rest)) {
        const value = typed.trim()
        if (value === '') continue
        // What is no number goes as it is: the service says what is wrong with it.
        options[field] = NUMERIC.has(field) && Number.isFinite(Number(value)) ? Number(value) : value
      }
      return { prompt: text, ...options }
    },

    /** How the picture is to be taken home. @returns {TakenHome} */
    takenHome() {
      const { format, size = '' } = values()
      return { format: format === 'webp' || format === 'jpeg' ? format : 'png', size: size === '' ? undefined : size }
    },

    /** @param {string} message @param {readonly FieldProblem[]} fields */
    showProblems(message, fields) {
      let placed = 0
      for (const { field, problem, permitted } of fields) {
        const line = document.getElementById(`${field}-problem`)
        if (!line) continue
        const name = field.charAt(0).toUpperCase() + field.slice(1)
        line.textContent = `${name} ${problem}. Permitted: ${permitted}.`
        line.hidden = false
        if (IN_MORE.has(field)) byId('more', HTMLDetailsElement).open = true
        for (const control of controlsOf(field)) control.setAttribute('aria-invalid', 'true')
        placed += 1
      }
      const first = form.querySelector('[aria-invalid]')
      if (first instanceof HTMLElement) first.focus()
      formProblem.hidden = placed > 0 && placed === fields.length
      formProblem.textContent = message
    },

    clearProblems() {
      for (const field of FIELDS) clearProblem(field)
      formProblem.hidden = true
    },

    /** Not `disabled`, which would throw the focus away. @param {boolean} busy */
    setBusy(busy) {
      generate.setAttribute('aria-disabled', String(busy))
      if (!busy && document.activeElement === cancel) generate.focus()
      cancel.hidden = !busy
    },
  }

  /** Whether a value differs from the model's default, so that the fold must be open to see it. @param {string} field @param {string} value */
  function isUnusual(field, value) {
    const defaults = card()?.defaults
    if (field === 'steps') return value !== String(defaults?.steps)
    if (field === 'corrections') return value !== String(defaults?.corrections ?? 0)
    if (field === 'guidance') return value !== String(defaults?.guidance)
    if (field === 'deadlineMs' || field === 'format') return value !== '' && value !== 'png'
    return value !== card()?.defaultVerifier
  }
}

/** Squares that are made of a square picture; the model's own is none of them. */
const SIDES = [256, 512, 1024]

/** @param {ModelCard} card */
function showSizes({ imageSize: [height, width] }) {
  const own = `${width}x${height}`
  const squares = width === height ? SIDES.map((side) => `${side}x${side}`).filter((size) => size !== own) : []
  const chosen = byId('size', HTMLSelectElement)
  const { value } = chosen
  chosen.replaceChildren(
    element('option', { value: '' }, `${own}, as it was made`),
    ...squares.map((size) => element('option', { value: size }, size)),
  )
  if (squares.includes(value)) chosen.value = value
}
