import type { z } from 'zod'
import { AppError } from '../shared/error-code.ts'
import { invalidRequest, problemsOf } from './field-problems.ts'
import { withoutNulls } from './null-fields.ts'

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })

/**
 * Reads a whole body, giving up at the first byte too many: a caller's content-length is not believed.
 *
 * @throws AppError `body_too_large`, or `body_broken` for one that ends before its end or is framed wrongly
 */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const announced = request.headers.get('content-length')
  if (Number(announced) > maxBytes) throw tooLarge(maxBytes)
  try {
    // HTTP itself ends such a body where it was said to end, and reading it whole is many times cheaper.
    const whole = announced === null ? await readUpTo(request, maxBytes) : new Uint8Array(await request.arrayBuffer())
    if (whole.byteLength <= maxBytes) return whole
  } catch (cause) {
    throw new AppError('body_broken', 'The body broke off, or its chunks are not as HTTP has them', { cause })
  }
  throw tooLarge(maxBytes)
}

/** @returns the body, or so much of it that it is longer than `maxBytes` */
async function readUpTo({ body }: Request, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  // What follows is left for `dropRest`.
  if (body) {
    for await (const chunk of body.values({ preventCancel: true })) {
      length += chunk.byteLength
      chunks.push(chunk)
      if (length > maxBytes) break
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

/** As much as Cloudflare passes on of one request. */
const DROPPED_BYTES = 100_000_000
const DROPPING_MS = 10_000

/**
 * Reads and forgets what was not read of a body. A caller who is still sending when the connection is closed gets a reset, and
 * with it loses the answer that says what was wrong.
 */
export async function dropRest(request: Request): Promise<void> {
  const { body, headers } = request
  // Who asks first whether to send it is answered before any byte comes.
  if (!body || headers.get('expect') !== null || Number(headers.get('content-length')) > DROPPED_BYTES) return
  let left = DROPPED_BYTES
  const nowhere = new WritableStream<Uint8Array>({
    write(chunk) {
      left -= chunk.byteLength
      if (left < 0) throw new RangeError('too much')
    },
  })
  await body.pipeTo(nowhere, { signal: AbortSignal.timeout(DROPPING_MS) }).catch(() => undefined)
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
