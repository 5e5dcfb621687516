import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { AppError, InvariantError } from '../../../../shared/error-code.ts'
import { Appender } from '../kill-safe-files.ts'
import { type Place, placeKey } from '../place.ts'
import type { RecordingConfiguration } from './recording.ts'

type Shape = Pick<RecordingConfiguration, 'candidates' | 'stepCount' | 'tokenCount'>

/** What the generator took a picture to be at each step, and how likely it found that. */
export interface Predictions {
  /** uint16 [N][S][T] flat. */
  readonly codes: Uint16Array
  /** float32 [N][S] flat, nats, <= 0 (`Prediction.meanLogProb`). */
  readonly meanLogProbs: Float32Array
}

const HEAD_BYTES = 8
const CRC_BYTES = 4

/**
 * Every step's x0 prediction of every candidate of a recording, one record a picture, in the order they were made. A
 * record, little-endian: uint32 prompt, uint32 image, uint16 codes [N][S][T], float32 mean log-probabilities [N][S], uint32 CRC-32 of all before it.
 */
export class PredictionFile {
  readonly #appender: Appender
  readonly #shape: Shape
  /** Offset of each picture's record in bytes. */
  readonly #offsets: Map<string, number>
  #bytes: number

  private constructor(path: string, shape: Shape, offsets: Map<string, number>) {
    this.#appender = new Appender(path)
    this.#shape = shape
    this.#offsets = offsets
    this.#bytes = offsets.size * recordBytes(shape)
  }

  /** For reading; a record that is being written or was cut short is not seen. */
  static async open(path: string, shape: Shape): Promise<PredictionFile> {
    const file = await open(path, 'r')
    try {
      return new PredictionFile(path, shape, await readOffsets(file, recordBytes(shape)))
    } finally {
      await file.close()
    }
  }

  /** For writing: creates the file, or removes the record that a kill cut short. Only one process may write. */
  static async resume(path: string, shape: Shape): Promise<PredictionFile> {
    const file = await open(path, 'a+')
    try {
      const offsets = await readOffsets(file, recordBytes(shape))
      await file.truncate(offsets.size * recordBytes(shape))
      return new PredictionFile(path, shape, offsets)
    } finally {
      await file.close()
    }
  }

  has(place: Place): boolean {
    return this.#offsets.has(placeKey(place))
  }

  get pictureCount(): number {
    return this.#offsets.size
  }

  /**
   * @throws InvariantError  for other numbers of codes or likelihoods, or a picture that is there already
   */
  async add(place: Place, { codes, meanLogProbs }: Predictions): Promise<void> {
    const [codeCount, likelihoodCount] = [codeCountOf(this.#shape), likelihoodCountOf(this.#shape)]
    if (codes.length !== codeCount || meanLogProbs.length !== likelihoodCount || this.has(place)) {
      const found = `${codes.length} codes and ${meanLogProbs.length} likelihoods`
      throw new InvariantError(
        `a record of ${found} for ${placeKey(place)}; expected ${codeCount} and ${likelihoodCount}, once`,
      )
    }
    const record = Buffer.alloc(recordBytes(this.#shape))
    record.writeUInt32LE(place.prompt, 0)
    record.writeUInt32LE(place.image, 4)
    for (const [index, code] of codes.entries()) record.writeUInt16LE(code, HEAD_BYTES + index * 2)
    const likelihoodsAt = HEAD_BYTES + codes.byteLength
    for (const [index, value] of meanLogProbs.entries()) record.writeFloatLE(value, likelihoodsAt + index * 4)
    record.writeUInt32LE(crc32(record.subarray(0, -CRC_BYTES)), record.length - CRC_BYTES)
    this.#offsets.set(placeKey(place), this.#bytes)
    this.#bytes += record.length
    await this.#appender.append(record)
  }

  /**
   * @returns arrays owned by the caller
   * @throws AppError `invalid_request`  when the picture is not there or its record is damaged
   */
  async read(place: Place): Promise<Predictions> {
    const offset = this.#offsets.get(placeKey(place))
    const { path } = this.#appender
    if (offset === undefined) throw new AppError('invalid_request', `${path} has no picture ${placeKey(place)}`)
    const file = await open(path, 'r')
    try {
      const record = await readAt(file, offset, recordBytes(this.#shape))
      if (crc32(record.subarray(0, -CRC_BYTES)) !== record.readUInt32LE(record.length - CRC_BYTES)) {
        throw new AppError(
          'invalid_request',
          `${path} is damaged at byte ${offset}; remove the recording and make it again`,
        )
      }
      const codeCount = codeCountOf(this.#shape)
      const likelihoodsAt = HEAD_BYTES + codeCount * 2
      return {
        codes: Uint16Array.from({ length: codeCount }, (_, index) => record.readUInt16LE(HEAD_BYTES + index * 2)),
        meanLogProbs: Float32Array.from({ length: likelihoodCountOf(this.#shape) }, (_, index) =>
          record.readFloatLE(likelihoodsAt + index * 4),
        ),
      }
    } finally {
      await file.close()
    }
  }
}

function codeCountOf({ candidates, stepCount, tokenCount }: Shape): number {
  return candidates * stepCount * tokenCount
}

function likelihoodCountOf({ candidates, stepCount }: Shape): number {
  return candidates * stepCount
}

function recordBytes(shape: Shape): number {
  return HEAD_BYTES + codeCountOf(shape) * 2 + likelihoodCountOf(shape) * 4 + CRC_BYTES
}

async function readOffsets(file: FileHandle, bytes: number): Promise<Map<string, number>> {
  const { size } = await file.stat()
  const offsets = new Map<string, number>()
  for (let offset = 0; offset + bytes <= size; offset += bytes) {
    const head = await readAt(file, offset, HEAD_BYTES)
    offsets.set(placeKey({ prompt: head.readUInt32LE(0), image: head.readUInt32LE(4) }), offset)
  }
  return offsets
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
  if (bytesRead < length) throw new InvariantError(`a record of predictions ends after ${bytesRead} of ${length} bytes`)
  return buffer
}
