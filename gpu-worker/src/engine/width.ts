import type { Measurements } from './measurements.ts'
import { type Seat, stepsLeft } from './seat.ts'

/** Of so many calls, so many are made for one job only while it is unknown what a row costs, and all others with all rows. */
const TRIAL = { calls: 16, narrow: 4 }
/**
 * Every so many calls one is twice as wide, and one as narrow as can be: with calls of one size only nobody would see that
 * rows have become cheaper or dearer, and a line that one slow call has bent would stay.
 */
const EXPLORATION = { wider: 32, narrow: 128 }

/**
 * Paths that a queue of one grows to before it is empty, since others arrive meanwhile: 1 / (1 - load), at a load of two
 * thirds, for which a worker that is neither idle nor overrun may be taken.
 */
const BUSY_PERIOD = 3

/**
 * How many rows to advance at once while more are wanted, so that pictures are finished as early as possible on average.
 *
 * A call with n rows takes `fixed + marginal * n`. Of R wanted paths of S steps, groups of n are finished one after
 * another: group k of R / n ends at `k * S * (fixed + marginal * n)`, so the mean end is
 *
 *     S * (fixed + marginal * n) * (R / n + 1) / 2
 *
 * whose derivative by n is 0 at `n = sqrt(R * fixed / marginal)`. R counts those who are going to wait, too, before the
 * queue is empty again: wider calls make all of them sooner. Where a row costs its full time (a CPU whose cores one
 * row keeps busy; fixed is near 0), sharing the machine only delays everybody, and one is served after another. Where
 * rows are nearly free (a GPU), all slots are used. In between a longer queue makes wider calls: what all who wait gain
 * outweighs what those in the call lose.
 *
 * @param rowsWanted  that run or could run now, >= 0
 * @returns           >= 1, may be more than there are slots
 */
export function bestWidth(rowsWanted: number, measurements: Pick<Measurements, 'rowCostShare' | 'calls'>): number {
  const { rowCostShare, calls } = measurements
  if (rowCostShare === undefined)
    return calls % TRIAL.calls >= TRIAL.calls - TRIAL.narrow ? 1 : Number.POSITIVE_INFINITY
  if (calls % EXPLORATION.narrow === EXPLORATION.narrow - 1) return 1
  if (rowCostShare === 0) return Number.POSITIVE_INFINITY
  const best = Math.max(1, Math.round(Math.sqrt((BUSY_PERIOD * rowsWanted * (1 - rowCostShare)) / rowCostShare)))
  return calls % EXPLORATION.wider === 0 ? 2 * best : best
}

/**
 * How many rows a call may have so that the picture is still finished by its deadline, with a tick to spare.
 *
 * @returns  Infinity where no width endangers it or none can save it any more, or nothing is known
 */
export function widthForDeadline(seat: Seat, nowMs: number, measurements: Pick<Measurements, 'rowsWithin'>): number {
  const { deadlineMs } = seat.job
  if (deadlineMs === undefined) return Number.POSITIVE_INFINITY
  const rows = Math.floor(measurements.rowsWithin((deadlineMs - nowMs) / (stepsLeft(seat) + 1)))
  return rows >= 1 ? rows : Number.POSITIVE_INFINITY
}

/** Rows of one tenant in a call. */
export interface TenantRows {
  readonly rows: number
  /** How many times slower than alone it may be, >= 1. */
  readonly slower: number
  /** Whether the tenant wants no more than these. */
  readonly isContent: boolean
}

/**
 * How many rows a call may have so that no tenant who has all it wants is slowed further than it may be (`tenant-pace.ts`);
 * who wants more is served by turns. For a tenant with r rows that may be slowed n times, `fixed + marginal * w` is to be at
 * most `n * (fixed + marginal * r)`, so
 *
 *     w = n * r + (n - 1) * fixed / marginal
 *
 * @param tenants  all in the call
 * @returns        Infinity where nobody is slowed by others, or nothing is known of what a row costs
 */
export function widthForTenants(
  tenants: readonly TenantRows[],
  { rowCostShare }: Pick<Measurements, 'rowCostShare'>,
): number {
  if (tenants.length < 2 || rowCostShare === undefined || rowCostShare === 0) return Number.POSITIVE_INFINITY
  const fixedOverMarginal = (1 - rowCostShare) / rowCostShare
  const widths = tenants
    .filter(({ isContent }) => isContent)
    .map(({ rows, slower }) => slower * rows + (slower - 1) * fixedOverMarginal)
  // With less somebody would have no row at all; who is slowed too far by that gets on alone in other calls (`tenant-pace.ts`).
  return Math.max(tenants.length, Math.floor(Math.min(...widths)))
}
