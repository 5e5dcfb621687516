import canonicalize from 'canonicalize'
import { InvariantError } from '../shared/error-code.ts'
import type { WorkParameters } from '../shared/job.ts'
import { sha256Hex } from './bytes.ts'

/** Lower-case hex SHA-256 of the canonical JSON (RFC 8785) of everything that decides the picture, or the scores. */
export const cacheKey = (parameters: WorkParameters): Promise<string> => cacheKeyOf(parameters)

/** As `cacheKey`, of whatever decides what is kept. */
export async function cacheKeyOf(parameters: object): Promise<string> {
  const text = canonicalize(parameters)
  if (text === undefined) throw new InvariantError('job parameters have no canonical JSON')
  return sha256Hex(new TextEncoder().encode(text))
}
