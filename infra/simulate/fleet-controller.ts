import { FROM_ZERO, SCALE_IN, type ScalingPolicy, shareWanted, TARGET_TRACKING, TO_ZERO } from '../scaling-policy.ts'

/**
 * What AWS does once a minute with the rules of infra/aws/fleet-scaling.ts: target tracking up from one task, a step
 * rule down to one, and a rule each from and to zero. `desired` is the number of tasks it has asked for.
 */
export class FleetController {
  readonly #limits: ScalingPolicy['tasks']
  #desired: number
  #minutesAbove = 0
  #minutesBelow = 0
  #minutesIdle = 0
  #cooldownSeconds = 0

  constructor(limits: ScalingPolicy['tasks']) {
    this.#limits = limits
    this.#desired = limits.min
  }

  get desired(): number {
    return this.#desired
  }

  /** @param wanted  tasks that the work at hand would keep busy, as a metric of the last minute shows it; >= 0 */
  minutePassed(wanted: number): void {
    this.#cooldownSeconds = Math.max(0, this.#cooldownSeconds - TARGET_TRACKING.periodSeconds)
    if (this.#desired === 0) this.#leaveZero(wanted)
    else this.#track(wanted)
    this.#desired = Math.min(this.#limits.max, Math.max(this.#limits.min, this.#desired))
  }

  #leaveZero(wanted: number): void {
    if (wanted <= 0 || this.#cooldownSeconds > 0) return
    const step = FROM_ZERO.steps.findLast(({ above }) => wanted > above)
    this.#desired = step?.tasks ?? 0
    this.#cooldownSeconds = FROM_ZERO.cooldownSeconds
    this.#minutesAbove = 0
    this.#minutesBelow = 0
    this.#minutesIdle = 0
  }

  #track(wanted: number): void {
    const { target, scaleOut } = TARGET_TRACKING
    const load = wanted / this.#desired
    const share = shareWanted(wanted, this.#desired)
    this.#minutesAbove = load > scaleOut.above ? this.#minutesAbove + 1 : 0
    this.#minutesBelow = share < SCALE_IN.below ? this.#minutesBelow + 1 : 0
    this.#minutesIdle = wanted <= 0 ? this.#minutesIdle + 1 : 0
    if (this.#minutesIdle >= TO_ZERO.datapoints) {
      this.#desired = 0
      this.#minutesIdle = 0
    } else if (this.#minutesAbove >= scaleOut.datapoints) {
      this.#desired = Math.ceil((this.#desired * load) / target)
    } else if (this.#minutesBelow >= SCALE_IN.datapoints) {
      this.#shrink(share)
      // The cooldown, which is as long as the rule looks.
      this.#minutesBelow = 0
    }
  }

  /** Never to zero: that is the other rule's to say, which looks whether anything is left at all. */
  #shrink(share: number): void {
    const step = SCALE_IN.steps.findLast(({ from }) => share >= from)
    const percent = step?.percent ?? 0
    // How AWS rounds a percentage: down, but to one at least.
    this.#desired -= Math.max(1, Math.floor((this.#desired * percent) / 100))
  }
}
