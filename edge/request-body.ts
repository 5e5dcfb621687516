import type { z } from 'zod'
import { AppError } from '../shared/error-code.ts'
import { invalidRequest, problemsOf } from './field-problems.ts'

/**
 * Reads a whole body, giving up at the first byte too many: a caller's content-length is not believed.
 *
 * @throws AppError `body_too_large`
 */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const announced = Number(request.headers.get('content-length') ?? 0)
  if (announced > maxBytes) throw tooLarge(maxBytes)
  const chunks: Uint8Array[] = []
  let length = 0
  if (request.body) {
    for await (const chunk of request.body) {
      length += chunk.byteLength
      if (length > maxBytes) throw tooLarge(maxBytes)
      chunks.push(chunk)
    }
  }
  const bytes = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}

/**
 * @returns the JSON object in the body, as `schema` reads it; nothing is coerced
 * @throws AppError `unsupported_media_type`, `body_too_large`, `invalid_json`, or `invalid_request` with one problem per
 *   field at fault
 */
export async function readJson<S extends z.ZodType>(
  request: Request,
  schema: S,
  maxBytes: number,
): Promise<z.output<S>> {
  requireJson(request.headers)
  return parseJson(await readBytes(request, maxBytes), schema)
}

/** As `readJson`, for bytes already read. */
export function parseJson<S extends z.ZodType>(bytes: Uint8Array, schema: S): z.output<S> {
  const body = decode(bytes)
  const result = schema.safeParse(body)
  if (!result.success) throw invalidRequest(problemsOf(result.error, schema, body))
  return result.data
}

function requireJson(headers: Headers): void {
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase()
  const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity'
  if (type !== 'application/json') {
    throw new AppError('unsupported_media_type', `Content-Type is ${type ?? 'missing'}; permitted: application/json`)
  }
  if (encoding !== 'identity') {
    throw new AppError(
      'unsupported_media_type',
      `Content-Encoding is ${encoding}; permitted: identity, or no such header`,
    )
  }
}

function decode(bytes: Uint8Array): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes)
  } catch (cause) {
    throw new AppError('invalid_json', 'The body is not valid UTF-8', { cause })
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    const what = text.trim() === '' ? 'The body is empty' : 'The body is not valid JSON'
    throw new AppError('invalid_json', `${what}; permitted: one JSON object`, { cause })
  }
}

function tooLarge(maxBytes: number): AppError {
  return new AppError('body_too_large', `The body is too large; permitted: at most ${maxBytes} bytes`)
}
