import type { Origin } from '../recording/origin.ts'

/**
 * When the settings that a report goes by were chosen, beside when its recording was begun: a paragraph.
 *
 * @param origin    undefined where the recording does not say
 * @param revision  of the bundle that the report goes by
 */
export function frozenSettings(origin: Origin | undefined, revision: string): string {
  if (origin === undefined)
    return 'The recording does not say when it was begun, so nothing says whether settings were frozen before it.'
  const { begun, settings } = origin
  return [`Recorded from ${begun.slice(0, 19)}Z on.`, frozenIn(settings), sameNow(origin, revision)].join(' ')
}

function frozenIn(settings: Origin['settings']): string {
  if (settings === null)
    return 'No commit had the bundle’s settings then, or git did not say, so nothing shows them frozen.'
  const { commit, date, isClean } = settings
  const last = `commit ${commit} (${date})`
  return isClean
    ? `The bundle’s settings were frozen then, in ${last}.`
    : `The bundle’s settings were NOT frozen then: they differed from their last ${last}.`
}

function sameNow(origin: Origin, revision: string): string {
  return origin.revision === revision
    ? 'This report goes by the same ones.'
    : 'This report goes by OTHER ones: the manifest has been changed since, maybe because of this recording.'
}
