import { z } from 'zod'
import { Sha256Hex } from '../../../../shared/job.ts'
import { Probability } from '../../../../shared/verdict.ts'
import { FAILURE_KINDS } from '../failure.ts'
import { Appender, parseJson, readWholeLines, resumeLines, writeWhole } from '../kill-safe-files.ts'
import { type Place, placeKey } from '../place.ts'

/** Who examined, and at which steps; the first line of a file of labels or readings. */
export const Examiner = z.strictObject({
  format: z.literal(2),
  /** `detector`, or a verifier's name. */
  name: z.string(),
  /** SHA-256 over its graph and what else its answers depend on. */
  identity: Sha256Hex,
  /** Steps whose pictures were examined, ascending, the last of a path among them; K of them in the arrays of later lines. */
  steps: z.array(z.int().min(0)).min(1),
})
export type Examiner = z.infer<typeof Examiner>

const PLACE = { prompt: z.int().min(0), image: z.int().min(0) }

/** Labels of one picture's N candidates: a later line of labels.jsonl. */
export const PictureLabels = z.strictObject({
  ...PLACE,
  /** [N][K], by the strict yardstick; of a bundle without one, by GenEval's rules. */
  correct: z.array(z.array(z.boolean())),
  /** [N][K], by GenEval's rules over the detector. */
  geneval: z.array(z.array(z.boolean())),
  /** [N][K], by each strict instrument alone; left out for a bundle without them. */
  strict: z
    .strictObject({ detector: z.array(z.array(z.boolean())), matcher: z.array(z.array(z.boolean())) })
    .optional(),
  /** [N], of the final pictures. */
  failures: z.array(z.array(z.strictObject({ kind: z.enum(FAILURE_KINDS), reason: z.string() }))),
})
export type PictureLabels = z.infer<typeof PictureLabels>

/** Answers about one picture's N candidates: a later line of readings/<verifier>.jsonl. */
export const PictureReadings = z.strictObject({
  ...PLACE,
  /** [N][K][clarity, potential, alignment]. */
  answers: z.array(z.array(z.tuple([Probability, Probability, Probability]))),
})
export type PictureReadings = z.infer<typeof PictureReadings>

interface Examinations<T> {
  readonly examiner: Examiner
  readonly pictures: readonly T[]
}

/** What one examiner said about each picture of a recording, in a file that grows by a line a picture. */
export class ExaminationFile<T extends Place> {
  readonly #appender: Appender
  readonly #examined: Set<string>

  private constructor(path: string, examined: readonly Place[]) {
    this.#appender = new Appender(path)
    this.#examined = new Set(examined.map(placeKey))
  }

  /**
   * Creates the file, or continues it. What another examiner of that name said, or the same at other steps, is
   * dropped: it can be said again at any time from the predictions.
   *
   * @param onReplaced  told when that happens
   */
  static async open<T extends Place>(
    path: string,
    examiner: Examiner,
    schema: z.ZodType<T>,
    onReplaced: (earlier: Examiner) => void,
  ): Promise<ExaminationFile<T>> {
    const [first, ...others] = await resumeLines(path)
    if (first !== undefined) {
      const there = parseJson(first, Examiner, `${path}, line 1`)
      // What another one said may have another form as well, and is not looked at.
      if (JSON.stringify(there) === JSON.stringify(examiner))
        return new ExaminationFile<T>(path, parsePictures(others, path, schema))
      onReplaced(there)
    }
    await writeWhole(path, `${JSON.stringify(examiner)}\n`)
    return new ExaminationFile<T>(path, [])
  }

  has(place: Place): boolean {
    return this.#examined.has(placeKey(place))
  }

  async add(picture: T): Promise<void> {
    await this.#appender.append(`${JSON.stringify(picture)}\n`)
    this.#examined.add(placeKey(picture))
  }
}

/**
 * @returns undefined where no examiner has begun
 * @throws AppError `invalid_request`  naming file and line of what is no examination
 */
export async function readExaminations<T extends Place>(
  path: string,
  schema: z.ZodType<T>,
): Promise<Examinations<T> | undefined> {
  const [first, ...others] = await readWholeLines(path)
  if (first === undefined) return undefined
  return { examiner: parseJson(first, Examiner, `${path}, line 1`), pictures: parsePictures(others, path, schema) }
}

function parsePictures<T>(lines: readonly string[], path: string, schema: z.ZodType<T>): T[] {
  return lines.map((line, index) => parseJson(line, schema, `${path}, line ${index + 2}`))
}
