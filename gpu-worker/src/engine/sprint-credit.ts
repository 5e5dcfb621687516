/** Of a tenant that has had its whole share of late: milliseconds of machine time that it may take before its turn. */
export const MOST_CREDIT_MS = 10_000

/**
 * How far a tenant may run ahead of its share. Shares are kept over minutes, but a picture takes less than a second: who asks for
 * one now and then has left its share to others all the time, and gets a little of it back at once. Whoever goes on asking uses
 * its credit up, and then has its share like everybody else.
 *
 * Source: the sleeper credit of fair schedulers of processors (Linux, CFS).
 */
export class SprintCredit {
  /** Those with less than all of it, and until when that is so: the machine time then reckoned. */
  readonly #spent = new Map<string, { readonly ms: number; readonly atMs: number }>()
  #busyMs = 0

  has(name: string): boolean {
    return this.of(name) > 0
  }

  /** Milliseconds, 0..MOST_CREDIT_MS. It comes back by half of what the machine works, for whomever. */
  of(name: string): number {
    const spent = this.#spent.get(name)
    if (spent === undefined) return MOST_CREDIT_MS
    return Math.max(0, MOST_CREDIT_MS - spent.ms + (this.#busyMs - spent.atMs) / 2)
  }

  /**
   * @param ms     what a tick took
   * @param users  who had rows in it: the shares of it that they used and that are theirs, each adding up to 1
   */
  note(ms: number, users: readonly { readonly name: string; readonly used: number; readonly own: number }[]): void {
    const left = users.map(({ name, used, own }) => this.of(name) - ms * (used - own))
    this.#busyMs += ms
    for (const [index, { name }] of users.entries()) {
      const ownMs = Math.min(MOST_CREDIT_MS, Math.max(0, left[index] as number))
      this.#spent.set(name, { ms: MOST_CREDIT_MS - ownMs, atMs: this.#busyMs })
    }
    for (const [name] of this.#spent) if (this.of(name) >= MOST_CREDIT_MS) this.#spent.delete(name)
  }
}
