/** How long an answer is given again without asking the cache entry: a purge reaches every isolate within this time. */
export const HIT_MEMORY_MS = 5000
/** Characters of answers that an isolate keeps; it has 128 MB for everything. */
const MAX_CHARS = 16 * 1024 * 1024

/** An answer from cache, ready to be sent again. */
export interface RememberedHit {
  /** JSON text. */
  readonly body: string
  readonly jobId: string
}

/**
 * What this isolate has lately answered from cache, by caller and exact text of the request. A prompt that all the world
 * asks for would otherwise come down on the one object that its cache entry is. Nothing is written here that the entry did
 * not call a hit, and requests with terms of their own (labels, a webhook, Cache-Control …) must not look here.
 */
export class HitMemory {
  /** Oldest first. */
  readonly #hits = new Map<string, { hit: RememberedHit; until: number }>()
  #chars = 0

  /** @param now  milliseconds since the epoch */
  recall(key: string, now: number): RememberedHit | undefined {
    const known = this.#hits.get(key)
    if (known === undefined) return undefined
    if (now < known.until) return known.hit
    this.#drop(key)
    return undefined
  }

  /** @param key  names the caller and all that it asked for */
  keep(key: string, hit: RememberedHit, now: number): void {
    this.#drop(key)
    this.#hits.set(key, { hit, until: now + HIT_MEMORY_MS })
    this.#chars += key.length + hit.body.length
    for (const oldest of this.#hits.keys()) {
      if (this.#chars <= MAX_CHARS) break
      this.#drop(oldest)
    }
  }

  forgetAll(): void {
    this.#hits.clear()
    this.#chars = 0
  }

  #drop(key: string): void {
    const known = this.#hits.get(key)
    if (known === undefined) return
    this.#hits.delete(key)
    this.#chars -= key.length + known.hit.body.length
  }
}
