/**
 * The page's one client of the service that serves it, and what it says when that fails.
 *
 * @import { JobRequest } from './client.js'
 */
import { ClientError, ParmClient } from './client.js'

/** @typedef {JobRequest} JobBody */

/** Where a service asks for one; kept for the tab, never in the link. */
const API_KEY = 'api-key'

/** @param {string} key  empty for none */
export function useApiKey(key) {
  sessionStorage.setItem(API_KEY, key)
}

export const api = new ParmClient({
  baseUrl: location.origin,
  apiKey: () => sessionStorage.getItem(API_KEY) ?? undefined,
})

/** @param {string} sha256 */
export const imageUrl = (sha256) => `/v1/images/${sha256}`

/**
 * Whatever was thrown, as something that a person can read.
 *
 * @param {unknown} error
 * @returns {Pick<ClientError, 'message' | 'code' | 'problems' | 'requestId'>}
 */
export function asProblem(error) {
  if (!(error instanceof ClientError)) {
    console.error(error)
    return {
      message: 'This page has a defect; reloading may help.',
      code: 'internal',
      problems: [],
      requestId: undefined,
    }
  }
  if (error.status !== undefined) return error
  const { code, problems, requestId } = error
  return { message: 'The service cannot be reached. Check the connection and try again.', code, problems, requestId }
}
