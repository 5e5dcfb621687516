const LOOPBACK_NAMES = ['127.0.0.1', '[::1]', 'localhost']
/** As `URL` spells them. */
const IP_ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/

/**
 * Whether a program that is not meant for the public may answer to a host name. A page elsewhere can make a browser call
 * any name as its own, by pointing the name here (DNS rebinding); it cannot do so with an address, nor with localhost.
 *
 * @param hostname  as `URL` gives it, without port
 * @param permitted names beside those; `*` stands for all
 */
export function isPermittedHost(hostname: string, permitted: readonly string[]): boolean {
  const isLocal = hostname === 'localhost' || hostname.endsWith('.localhost') || IP_ADDRESS.test(hostname)
  return isLocal || permitted.includes('*') || permitted.includes(hostname)
}

/**
 * Whether a browser's request comes from a page of this program or a permitted one.
 *
 * @param origin     the `Origin` header
 * @param own        origins under which this program is reached; a loopback name stands for all of them
 * @param permitted  other origins; `*` stands for all
 */
export function isPermittedOrigin(origin: string, own: readonly string[], permitted: readonly string[]): boolean {
  return permitted.includes('*') || permitted.includes(origin) || own.some((address) => isSamePlace(origin, address))
}

/** Schemes may differ, where somebody before us speaks TLS. */
function isSamePlace(origin: string, own: string): boolean {
  const [a, b] = [URL.parse(origin), URL.parse(own)]
  if (!a || !b) return false
  const areLoopback = [a, b].every(({ hostname }) => LOOPBACK_NAMES.includes(hostname))
  return areLoopback ? a.port === b.port : a.host === b.host
}
