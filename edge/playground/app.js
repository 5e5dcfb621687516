/**
 * Composition: the form, the job that is being watched, and the views on it.
 *
 * @import { JobEvent } from '../../shared/job-event.ts'
 * @import { Run } from './run.js'
 */
import { createAnnouncer } from './announcer.js'
import { api, asProblem } from './api.js'
import { createBench } from './bench.js'
import { byId } from './element.js'
import { follow } from './job-stream.js'
import { hashOf, valuesOf } from './permalink.js'
import { curlCommand, formValues, linkTo } from './repeat.js'
import { createRequestForm } from './request-form.js'
import { applyEvent, isOver, openRun, rowSteps } from './run.js'
import { createSessionHistory } from './session-history.js'
import { createStatus } from './status.js'
import { plural, runSummary } from './wording.js'

const announcer = createAnnouncer(byId('log', HTMLDivElement))
const form = createRequestForm({ onSubmit: start, onCancel: cancel, onChange: keepInHash })
const bench = createBench()
const status = createStatus()
const sessionHistory = createSessionHistory({ onOpen: reopen, onLookUp: lookUp })

/** @type {Run | undefined} the job on show */
let run
/** @type {{ cancelWanted: boolean } | undefined} a request that has no answer yet, so no job to cancel either */
let sending
let stopFollowing = () => {}

byId('copy-link', HTMLButtonElement).addEventListener('click', () =>
  copy('Link', run && linkTo(run.parameters, location.href)),
)
byId('copy-curl', HTMLButtonElement).addEventListener('click', () =>
  copy('curl', run && curlCommand(run.parameters, location.origin, form.takenHome())),
)
addEventListener('hashchange', fillFromHash)
fillFromHash()
status.say('Ready')
await loadModels()

async function loadModels() {
  try {
    form.setModels((await api.service.models()).data)
    fillFromHash()
    status.hideAlarm()
  } catch (error) {
    const remedy = { label: 'Try again', act: loadModels }
    status.alarm(`The models could not be loaded. ${asProblem(error).message}`, remedy)
  }
}

async function start() {
  form.clearProblems()
  status.hideAlarm()
  keepInHash()
  form.setBusy(true)
  status.startClock()
  status.say('Sending')
  const request = { cancelWanted: false }
  sending = request
  try {
    const opened = openRun(await api.jobs.create(form.body()))
    bench.choose(form.takenHome())
    sending = undefined
    announcer.now(`${runSummary(opened)}.`)
    watch(opened)
    if (request.cancelWanted) await cancel()
    bringIntoView(byId('print', HTMLDivElement))
  } catch (error) {
    const { message, code, problems, requestId } = asProblem(error)
    sending = undefined
    form.setBusy(false)
    status.clearClock()
    status.say(run ? runSummary(run) : 'Ready')
    if (code === 'unauthorized') form.askForApiKey()
    form.showProblems(requestId && problems.length === 0 ? `${message} (request ${requestId})` : message, problems)
  }
}

/** @param {Run} opened */
function watch(opened) {
  stopFollowing()
  show(opened)
  stopFollowing = follow(opened.jobId, {
    onEvent: receive,
    onInterrupted: () => status.alarm('The connection was lost. The job goes on; resuming where it broke off.'),
    onResumed: status.hideAlarm,
    onLost: () => {
      form.setBusy(false)
      status.stopClock()
      const again = () => {
        status.hideAlarm()
        form.setBusy(true)
        status.startClock()
        watch(opened)
      }
      const remedy = { label: 'Watch again', act: again }
      status.alarm('The connection could not be restored. The job goes on without this page.', remedy)
    },
  })
}

/** @param {Run} shown */
function show(shown) {
  run = shown
  status.say(runSummary(shown))
  bench.show(shown)
}

/** @param {JobEvent} event */
function receive(event) {
  if (!run) return
  show(applyEvent(run, event))
  if (isOver(run)) finish(run)
  else if (event.type === 'started') announcer.later('start', `Started on ${event.worker}.`)
  else announcer.later('progress', `${runSummary(run)}.`)
}

/** @param {Run} over */
function finish(over) {
  form.setBusy(false)
  status.stopClock()
  status.hideAlarm()
  sessionHistory.add(over)
  if (over.failure) status.alarm(`${over.failure.message} (${over.failure.code})`)
  if (!over.result) return announcer.now(`${runSummary(over)}.`)
  const { spent, possible, saved } = rowSteps(over)
  const opening = over.cache === 'hit' ? 'From cache' : 'Done'
  announcer.now(
    `${opening}: candidate ${over.result.candidate} won. ${plural(spent, 'row-step')} of ${possible}, ${saved} saved.`,
  )
}

async function cancel() {
  if (sending) {
    sending.cancelWanted = true
    return
  }
  if (!run || isOver(run)) return
  try {
    // The canceled event ends the run; a picture that was faster wins.
    await api.jobs.cancel(run.jobId)
  } catch (error) {
    status.alarm(`The job could not be canceled. ${asProblem(error).message}`)
  }
}

/** @param {Run} past */
function reopen(past) {
  if (run && !isOver(run)) return announcer.now('A job is running; cancel it first, or wait for it.')
  status.hideAlarm()
  status.clearClock()
  show(past)
  form.fill({ ...form.values(), ...formValues(past.parameters) })
  keepInHash()
}

/** A picture of before the page was loaded: its log tells all of it again. @param {string} jobId */
async function lookUp(jobId) {
  if (run && !isOver(run)) return announcer.now('A job is running; cancel it first, or wait for it.')
  status.hideAlarm()
  status.clearClock()
  try {
    const past = openRun(await api.jobs.get(jobId))
    form.fill({ ...form.values(), ...formValues(past.parameters) })
    keepInHash()
    watch(past)
  } catch (error) {
    status.alarm(`The picture could not be looked up. ${asProblem(error).message}`)
  }
}

function keepInHash() {
  bench.choose(form.takenHome())
  history.replaceState(null, '', hashOf(form.values()) || location.pathname)
  showBlankSheet()
}

function fillFromHash() {
  form.fill(valuesOf(location.hash))
  bench.choose(form.takenHome())
  showBlankSheet()
}

function showBlankSheet() {
  if (!run) bench.showBlank(form.plan())
}

/** @param {string} what @param {string | undefined} text */
async function copy(what, text) {
  if (text === undefined) return
  try {
    await navigator.clipboard.writeText(text)
    announcer.now(`${what} copied.`)
    status.say(`${what} copied`)
  } catch {
    // Browsers refuse outside HTTPS and localhost; then the text is shown, to be copied by hand.
    byId('repeat', HTMLDetailsElement).open = true
    status.alarm('This browser does not let the page copy. The command is shown under Parameters.')
  }
}

/** On a narrow page the picture lies below the form; where it is in view, nothing moves. @param {HTMLElement} part */
function bringIntoView(part) {
  const { top, bottom } = part.getBoundingClientRect()
  if (top < 0 || bottom > innerHeight) part.scrollIntoView({ block: 'center' })
}
