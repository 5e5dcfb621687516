import { type AwsCommand, awsCommand, checkFleet } from './aws-checks.ts'
import { checkAccess, checkEdge, edgeUnderTest } from './edge-checks.ts'
import type { Finding } from './finding.ts'
import { checkPicture } from './picture-check.ts'
import { checkQueue } from './queue-checks.ts'
import { checkWorker } from './worker-checks.ts'

export interface Examination {
  /** Of the edge. */
  readonly url: string
  /** Name of the AWS half; undefined: there is none to look at. */
  readonly deployment: string | undefined
  /** URLs by lane. */
  readonly queues: ReadonlyMap<string, string>
  /** Health addresses. */
  readonly workers: readonly string[]
  /** How long a picture may take; undefined: none is asked for. */
  readonly waitSeconds: number | undefined
  readonly keys: { readonly api: string | undefined; readonly operator: string | undefined }
  /** Told as they come, because a picture takes its time. */
  onFinding(finding: Finding): void
  readonly aws?: AwsCommand
}

/** From the outside in, then once through the whole: a part that is found wrong is named before what fails because of it. */
export async function examine(examination: Examination): Promise<Finding[]> {
  const { url, deployment, queues, workers, waitSeconds, keys, onFinding, aws = awsCommand } = examination
  const findings: Finding[] = []
  const tell = (more: readonly Finding[]) => {
    for (const finding of more) {
      findings.push(finding)
      onFinding(finding)
    }
  }
  const edge = edgeUnderTest(url, keys.api)
  const { findings: ofEdge, facts } = await checkEdge(edge)
  tell(ofEdge)
  if (facts) tell(await checkAccess(edge, facts, keys))
  for (const [lane, queueUrl] of queues) tell(await checkQueue(lane, queueUrl, deployment !== undefined))
  if (deployment !== undefined) tell(await checkFleet(deployment, aws))
  for (const worker of workers) tell([await checkWorker(worker, facts)])
  if (facts && waitSeconds !== undefined) tell(await checkPicture(edge, facts, keys.api, waitSeconds))
  return findings
}
