/**
 * Every bound that a caller, the edge and the worker must agree on, once. Each entry is inclusive.
 * Bodies are bytes of UTF-8, prompts are counted in Unicode code points after normalisation.
 */
export const LIMITS = {
  /** Long enough for any caption; a longer one is nearly always a pasted document. */
  promptChars: { min: 1, max: 1000 },
  /** The paper compares up to 20 candidates; 32 leaves room for its Figure 2 and one more doubling would double the bill. */
  candidates: { min: 1, max: 32 },
  /** Mask-predict gains little past 50 steps, and one token a step needs no more than the grid has. */
  steps: { min: 1, max: 50 },
  /** Steps after these in which unlikely tokens are drawn anew; past some ten of them pictures hardly change any more. */
  corrections: { min: 0, max: 24 },
  /** Weight of the conditional logits, `(1+g)*cond - g*uncond`; past 20 every sample saturates. */
  guidance: { min: 0, max: 20 },
  /** uint32: survives JSON, SQL and typed arrays unchanged. */
  seed: { min: 0, max: 4294967295 },
  /** From accepting a job to its terminal record, in milliseconds. */
  deadlineMs: { min: 1000, max: 600_000, default: 120_000 },
  /** A worker ends its picture at most this long before the deadline: storing it and telling of it take time as well. */
  reportReserveMs: 1500,
  /** A request body: 1,000 code points at 4 bytes, JSON-escaped, with the other fields. */
  requestBodyBytes: 32_768,
  /** SQS takes 256 KiB or more; ours stay far below, so that ten fit one receive. */
  queueMessageBytes: 65_536,
  /** One batch of worker events, previews included. */
  eventBatchBytes: 1_048_576,
  eventsPerBatch: 256,
  /** Batches of one attempt: ten a second for three times as long as a job may live. */
  batchesPerAttempt: 20_000,
  /** What one attempt tells, as JSON, pictures of previews apart: 32 candidates judged at each of 74 steps are three quarters of it. */
  attemptEventBytes: 4_194_304,
  /** A checkpoint as JSON: 32 grids of 1,024 tokens and a verdict at every step are half of it. */
  checkpointBytes: 786_432,
  /** What a job remembers for jobs of more candidates, as JSON; what is larger is done again. */
  memoryBytes: 524_288,
  /** One stored image. */
  imageBytes: 8_388_608,
  /** A signed worker request is refused when its clock differs by more than this. */
  signatureSkewMs: 300_000,
  /** Claims of one job that are remembered against replays, the newest: more than come within the permitted skew. */
  claimsRemembered: 200,
  /** Attempts at one job, those that were handed back included. A job lives too short for as many honest ones. */
  attemptsPerJob: 64,
  /** An attempt not heard from for this long is given up: the next claim supersedes it. Heartbeats come several times faster. */
  attemptLeaseMs: 15_000,
  /** An API key's token bucket: how many requests, in how long. A day is the longest anybody calls a rate. */
  keyRequests: { min: 1, max: 1_000_000, default: 60 },
  keyDays: { min: 1, max: 3650 },
  keyWindowSeconds: { min: 1, max: 86_400, default: 60 },
  /** Jobs of one key under way at once. */
  keyConcurrentJobs: { min: 1, max: 10_000, default: 8 },
  /** For the operator's own words about a key. */
  keyNoteChars: 200,
  /** 0 stops a tenant's work without revoking its keys; the maximum keeps sums of them exact. */
  budgetRowSteps: { min: 0, max: 1_000_000_000_000 },
  budgetWindowSeconds: { min: 60, max: 31_536_000, default: 86_400 },
  /** Cancel-After: as long as a deadline may be, which ends the job anyway. */
  cancelAfterMs: { min: 1000, max: 600_000 },
  /** Labels that a caller hangs on a job to find it again. */
  labels: { max: 16, keyChars: 64, valueChars: 256 },
  /** One page of a list of jobs. */
  pageJobs: { min: 1, max: 100, default: 20 },
  /** Pictures in one request for scores; as many questions as a job of the most candidates has at its end. */
  scoreItems: { min: 1, max: 32 },
  /** Verifiers asked about each of them. */
  scoreVerifiers: { min: 1, max: 8 },
  /** A body with pictures in it, base64. Many large ones have to come in several requests, or be named by their digests. */
  scoreBodyBytes: 8_388_608,
  /** All prompts of such a request together, UTF-8: they travel in one queue message. */
  scorePromptBytes: 49_152,
  /** An Idempotency-Key; a UUID has 36. */
  idempotencyKeyChars: { min: 1, max: 255 },
} as const

/** Steps of one path, corrections included. */
export const MOST_PATH_STEPS = LIMITS.steps.max + LIMITS.corrections.max

/** Images in one answer of the OpenAI route (`n`); each is a job of its own, with a seed of its own. */
export const IMAGES_PER_REQUEST = { min: 1, max: 10 } as const
/** Previews of the leading candidate in one OpenAI stream (`partial_images`). */
export const PARTIAL_IMAGES = { min: 0, max: 3 } as const
/** How faithful a picture in a lossy format is (`output_compression`); 100 loses least. */
export const OUTPUT_COMPRESSION = { min: 0, max: 100 } as const
