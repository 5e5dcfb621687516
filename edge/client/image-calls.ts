import type { JobEvent } from '../../shared/job-event.ts'
import type { JobRecord } from '../../shared/job-record.ts'
import { imageRoute } from '../../shared/routes.ts'
import type { ImageRequest } from '../request-schema.ts'
import type { ImageResponse, ImageStreamEvent, Problem } from '../response-schema.ts'
import { streamedFailure, unreachable } from './client-error.ts'
import { sentEvents } from './event-source.ts'
import { invalidArgument } from './names.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WorkOptions, workHeaders } from './work-options.ts'

/** One of the job's own events inside an image stream, for who asked with `parm.events`: its type has `parm.` before it. */
export type OwnStreamEvent = {
  [Type in JobEvent['type']]: Omit<Extract<JobEvent, { type: Type }>, 'type'> & { type: `parm.${Type}` }
}[JobEvent['type']]

const SHA256_HEX = /^[0-9a-f]{64}$/
const GENERATIONS = '/v1/images/generations'

/** OpenAI's image route, and pictures themselves. */
export class ImageCalls {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Waits for the picture. Aborting `signal` gives it up, unless others wait for the same or an idempotency key was sent. */
  generate(request: Omit<ImageRequest, 'stream'>, options: WorkOptions = {}): Promise<ImageResponse> {
    return this.#transport.json('ImageResponse', this.#asked(request, options))
  }

  /** Does not wait: the job, under way or ended. */
  generateAsync(request: Omit<ImageRequest, 'stream' | 'n'>, options: WorkOptions = {}): Promise<JobRecord> {
    const call = this.#asked(request, options)
    return this.#transport.json('JobRecord', { ...call, headers: { ...call.headers, prefer: 'respond-async' } })
  }

  /**
   * Previews, the job's own events where `parm.events` asks for them, and the picture last. Leaving the loop before gives the
   * picture up as aborting does. A cut stream throws `unreachable`: send the request again, and it is joined or in cache.
   */
  async *stream(
    request: Omit<ImageRequest, 'stream'>,
    options: WorkOptions = {},
  ): AsyncGenerator<ImageStreamEvent | OwnStreamEvent> {
    const response = await this.#transport.open(this.#asked({ ...request, stream: true }, options))
    if (!response.body) return
    let missing = request.n ?? 1
    try {
      for await (const { event, data } of sentEvents(response.body)) {
        if (event === 'error') {
          const requestId = response.headers.get('x-request-id') ?? undefined
          throw streamedFailure(data as { error: Problem['error'] }, requestId)
        }
        if (event.startsWith('parm.')) yield data as OwnStreamEvent
        else yield this.#transport.checked<ImageStreamEvent>('ImageStreamEvent', data, response)
        if (event === 'image_generation.completed') missing -= 1
        if (missing === 0) return
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      throw error instanceof TypeError ? unreachable(`POST ${GENERATIONS}`, error) : error
    }
    throw unreachable(`POST ${GENERATIONS}`, new Error('the stream ended before the picture came'))
  }

  /** @param image  the SHA-256 of a picture, or the address that an answer named */
  async get(image: string, options: CallOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const isAddress = /^https?:\/\//.test(image)
    if (!isAddress && !SHA256_HEX.test(image)) {
      throw invalidArgument('image', image, 'a SHA-256 of 64 lower-case hexadecimal digits, or an address, https://…')
    }
    return this.#transport.bytes({ method: 'GET', path: isAddress ? image : imageRoute({ sha256: image }), ...options })
  }

  #asked(body: ImageRequest, options: WorkOptions) {
    return { method: 'POST', path: GENERATIONS, body, ...options, headers: workHeaders(options) } as const
  }
}
