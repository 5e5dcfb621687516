/**
 * The one range of a `Range` header (RFC 9110, 14.2). Several ranges, other units and nonsense are ignored, as the standard
 * permits: the whole is then sent.
 *
 * @param size  bytes there are, at least 1
 * @returns     first and last byte, inclusive; undefined for the whole; unsatisfiable when it begins past the end
 */
export function byteRange(
  header: string | undefined,
  size: number,
): { first: number; last: number } | undefined | 'unsatisfiable' {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(header?.trim() ?? '') ?? []
  if (from === '' && to === '') return undefined
  const first = from === '' ? Math.max(size - Number(to), 0) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  return first < size ? { first, last } : 'unsatisfiable'
}
