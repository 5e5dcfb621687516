/**
 * Everything needed to make a picture again: link, curl command, parameters.
 *
 * @import { JobParameters } from '../../shared/job.ts'
 * @import { PictureFormat } from '../../shared/picture-format.ts'
 * @import { FormValues } from './permalink.js'
 */
import { hashOf, PICTURE_FIELDS } from './permalink.js'

/** @typedef {{ format: PictureFormat, size: string | undefined }} TakenHome  the size undefined as it was made */

/** @param {Readonly<JobParameters>} parameters @returns {FormValues} */
export function formValues(parameters) {
  return Object.fromEntries(PICTURE_FIELDS.map((field) => [field, String(parameters[field])]))
}

/** @param {Readonly<JobParameters>} parameters @param {string} page  address of this page */
export function linkTo(parameters, page) {
  return new URL(hashOf(formValues(parameters)), page).href
}

/**
 * @param {Readonly<JobParameters>} parameters
 * @param {string} origin  of the service
 * @param {TakenHome} home
 * @returns {string} a POSIX shell command that writes the picture to a file
 */
export function curlCommand(parameters, origin, { format, size } = { format: 'png', size: undefined }) {
  const { model, prompt, revision: _, ...parm } = parameters
  const home = { ...(format === 'png' ? {} : { output_format: format }), ...(size === undefined ? {} : { size }) }
  const body = JSON.stringify({ model, prompt, ...home, parm })
  return [
    `curl -s ${origin}/v1/images/generations \\`,
    `  -H 'content-type: application/json' \\`,
    `  -d '${body.replaceAll("'", `'\\''`)}' \\`,
    `  | jq -r '.data[0].b64_json' | base64 -d > picture.${format}`,
  ].join('\n')
}

/** @param {Readonly<JobParameters>} parameters @param {PictureFormat} format */
export function fileName({ prompt, seed }, format = 'png') {
  const words = prompt
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-|-$/g, '')
  return `${words.slice(0, 60) || 'picture'}-${seed}.${format}`
}
