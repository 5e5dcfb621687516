import type { FaultKind } from './fault-log.ts'

/** The last line of a run. One that broke off counts all its jobs as stuck, because nobody has judged them. */
export interface ChaosReport {
  /** Undefined outside a checkout. */
  readonly commit: string | undefined
  readonly jobs: number
  readonly seed: number
  readonly seconds: number
  readonly faults: Readonly<Record<FaultKind, number>>
  readonly lost: number
  readonly doubled: number
  readonly stuck: number
  readonly invariantsBroken: number
}

/** A run that disturbed less shows less: 200 faults belong to 1,000 jobs. */
const FEWEST_FAULTS_PER_JOB = 0.2

/** @returns why the run shows nothing or something bad, in words; empty where all is as it should be */
export function complaintsAbout(report: ChaosReport): string[] {
  const { jobs, faults, lost, doubled, stuck, invariantsBroken } = report
  const done = Object.values(faults).reduce((sum, count) => sum + count, 0)
  const fewest = Math.floor(jobs * FEWEST_FAULTS_PER_JOB)
  return [
    ...(done < fewest ? [`only ${done} faults happened; ${fewest} belong to ${jobs} jobs`] : []),
    ...Object.entries({ lost, doubled, stuck, invariantsBroken }).flatMap(([what, count]) =>
      count > 0 ? [`${what}: ${count}`] : [],
    ),
  ]
}
