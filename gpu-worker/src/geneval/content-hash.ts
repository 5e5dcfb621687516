import { createHash } from 'node:crypto'

/** @returns SHA-256 of a value's JSON, 64 hexadecimal digits */
export function contentHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}
