/**
 * The right side of the page: one run on show, and which of its candidates is looked at.
 *
 * @import { TakenHome } from './repeat.js'
 * @import { Plan, Run } from './run.js'
 */
import { api, asProblem, imageUrl } from './api.js'
import { createContactSheet } from './contact-sheet.js'
import { byId, element } from './element.js'
import { createInspector } from './inspector.js'
import { createLedger } from './ledger.js'
import { curlCommand, fileName } from './repeat.js'
import { leadingCandidate } from './run.js'

export function createBench() {
  const sheet = createContactSheet({ onPick: pick })
  const inspector = createInspector({ onPickStep: pickStep })
  const ledger = createLedger()
  const warnings = byId('warnings', HTMLUListElement)
  /** @type {Run | undefined} */
  let run
  /** @type {number | undefined} picked by hand; otherwise the leading candidate is looked at */
  let picked
  /** @type {number | undefined} */
  let pickedStep
  let drawRequested = false
  /** @type {TakenHome} */
  let home = { format: 'png', size: undefined }

  /** @param {number} candidate */
  function pick(candidate) {
    picked = candidate
    pickedStep = undefined
    requestDraw()
  }

  /** @param {number} stepIndex  the one already shown goes back to the newest */
  function pickStep(stepIndex) {
    if (!run) return
    picked ??= leadingCandidate(run)
    pickedStep = pickedStep === stepIndex ? undefined : stepIndex
    requestDraw()
  }

  /** Draws once a frame, however many events came. */
  function requestDraw() {
    if (drawRequested) return
    drawRequested = true
    requestAnimationFrame(() => {
      drawRequested = false
      if (run) draw(run)
    })
  }

  /** @param {Run} shown */
  function draw(shown) {
    const candidate = picked ?? leadingCandidate(shown)
    ledger.show(shown)
    sheet.show(shown, candidate)
    inspector.show(shown, candidate, pickedStep)
    warnings.hidden = shown.warnings.length === 0
    warnings.replaceChildren(...shown.warnings.map((warning) => element('li', {}, warning)))
    showTakeAway(shown, home)
  }

  return {
    /** Before the first job: as many empty frames as candidates are asked for. @param {Plan} plan */
    showBlank(plan) {
      ledger.showPlan(plan)
      inspector.showBlank()
      sheet.showBlank(plan)
    },

    /** @param {TakenHome} chosen */
    choose(chosen) {
      home = chosen
      requestDraw()
    },

    /** @param {Run} shown  a change of job lets go of what was picked */
    show(shown) {
      if (shown.jobId !== run?.jobId) {
        picked = undefined
        pickedStep = undefined
      }
      run = shown
      requestDraw()
    },
  }
}

/** @param {Run} run @param {TakenHome} home */
function showTakeAway({ result, parameters, jobId, cache }, home) {
  const { format } = home
  byId('take-away', HTMLDivElement).hidden = result === undefined
  byId('repeat', HTMLDetailsElement).hidden = result === undefined
  if (!result) return
  const download = byId('download', HTMLAnchorElement)
  download.textContent = `Download ${format === 'jpeg' ? 'JPEG' : format === 'webp' ? 'WebP' : 'PNG'}`
  download.download = fileName(parameters, format)
  void pointTo(download, jobId, result.image.sha256, home)
  byId('curl', HTMLPreElement).textContent = curlCommand(parameters, location.origin, home)
  byId('parameters', HTMLDListElement).replaceChildren(
    ...Object.entries({ ...parameters, cache, job: jobId, image: result.image.sha256 }).flatMap(([name, value]) => [
      element('dt', {}, name),
      element('dd', {}, String(value)),
    ]),
  )
}

/**
 * The picture is kept as PNG in the model's size; another format or size is made when its address is asked for.
 *
 * @param {HTMLAnchorElement} link
 * @param {string} jobId
 * @param {string} sha256  of the PNG
 * @param {TakenHome} home
 */
async function pointTo(link, jobId, sha256, { format, size }) {
  const wanted = `${jobId} ${format} ${size}`
  if (link.dataset.wanted === wanted) return
  link.dataset.wanted = wanted
  link.href = imageUrl(sha256)
  if (format === 'png' && size === undefined) return
  link.removeAttribute('href')
  try {
    const { data } = await api.jobs.images(jobId, { output_format: format, ...(size === undefined ? {} : { size }) })
    if (link.dataset.wanted === wanted) link.href = new URL(data[0]?.url ?? '', location.href).pathname
  } catch (error) {
    link.dataset.wanted = ''
    link.title = asProblem(error).message
  }
}
