/**
 * Where webhooks may go. The edge must not be made to call what only it can reach, so a target is a public host name over
 * https: no address literals in any spelling (the URL parser has normalised those), no names that only exist inside a
 * network, no other ports, no user names. What a public name resolves to is the platform's to guard: a Worker's fetch does
 * not reach private addresses. Redirects are not followed.
 */

/** RFC 6761, 6762, 7686, 8375, 9476 and what private networks use without asking. */
const INTERNAL_SUFFIXES = new Set([
  'alt',
  'arpa',
  'corp',
  'example',
  'home',
  'internal',
  'intranet',
  'invalid',
  'lan',
  'local',
  'localdomain',
  'localhost',
  'mail',
  'onion',
  'private',
  'test',
])

export const WEBHOOK_TARGET_CHARS = 2000

export const WEBHOOK_TARGET_PERMITTED = `an https address of a public host name, port 443, at most ${WEBHOOK_TARGET_CHARS} characters`
/** In the document: the plain way to write one. What it lets through is permitted; a few that it does not are as well. */
export const WEBHOOK_TARGET_PATTERN = `^https://([a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?\\.){1,4}(?!(${[...INTERNAL_SUFFIXES].join('|')})(/|$))[a-z]{2,12}(/[A-Za-z0-9._~/-]*)?$`

/** @returns what is wrong with `text` as the end of a sentence, or undefined */
export function webhookTargetProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || text.length > WEBHOOK_TARGET_CHARS) return 'is no URL, or too long'
  if (url.protocol !== 'https:') return `has the scheme ${url.protocol.slice(0, -1)}`
  if (url.username !== '' || url.password !== '') return 'carries a user name or password'
  if (url.port !== '') return `has the port ${url.port}`
  // `example.com.` is the same host.
  const labels = url.hostname.replace(/\.$/, '').split('.')
  const last = labels.at(-1) ?? ''
  if (url.hostname.startsWith('[') || /^\d+$/.test(last)) return 'names an address instead of a host'
  if (labels.length < 2 || labels.includes('')) return `has the host ${url.hostname}, which is no public name`
  if (INTERNAL_SUFFIXES.has(last)) return `has the host ${url.hostname}, which is internal`
  return undefined
}
