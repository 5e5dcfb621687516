import type { z } from 'zod'
import { AppError } from '../shared/error-code.ts'
import { invalidRequest, problemsOf } from './field-problems.ts'
import { withoutNulls } from './null-fields.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/**
 * Reads a whole body, giving up at the first byte too many: a caller's content-length is not believed.
 *
 * @throws AppError `body_too_large`
 */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const announced = request.headers.get('content-length')
  if (Number(announced) > maxBytes) throw tooLarge(maxBytes)
  if (announced !== null) {
    // HTTP itself ends such a body where it was said to end, and reading it whole is many times cheaper.
    const whole = new Uint8Array(await request.arrayBuffer())
    if (whole.byteLength > maxBytes) throw tooLarge(maxBytes)
    return whole
  }
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
 * @returns the JSON object in the body, as `schema` reads it; null means absent, nothing else is coerced
 * @throws AppError `unsupported_media_type`, `body_too_large`, `invalid_json`, or `invalid_request` with one problem per
 *   field at fault
 */
export async function readJson<S extends z.ZodType>(
  request: Request,
  schema: S,
  maxBytes: number,
): Promise<z.output<S>> {
  return parseJson(await readJsonText(request, maxBytes), schema)
}

/** @throws AppError `unsupported_media_type`, `body_too_large`, or `invalid_json` for bytes that are no text */
export async function readJsonText(request: Request, maxBytes: number): Promise<string> {
  requireJson(request.headers)
  return decode(await readBytes(request, maxBytes))
}

/** As `readJson`, for text already read. */
export function parseJson<S extends z.ZodType>(text: string, schema: S): z.output<S> {
  const body = parse(text)
  const result = schema.safeParse(withoutNulls(body, schema))
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

/** @throws AppError `invalid_json` */
export function decode(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new AppError('invalid_json', 'The body is not valid UTF-8', { cause })
  }
}

function parse(text: string): unknown {
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
