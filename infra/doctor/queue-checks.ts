import { QueueClient } from '../../gpu-worker/src/queue-client.ts'
import { type Finding, ok, reasonOf, skipped, wrong } from './finding.ts'

const PLACEHOLDER_ACCOUNT = '/000000000000/'

/**
 * Whether a lane's queue is there, moves, and has no dead letters. Needs AWS credentials that may read attributes.
 *
 * @param isDeployed  whether it should be a real queue: the placeholder of wrangler.toml is a mistake then
 */
export async function checkQueue(lane: string, url: string, isDeployed: boolean): Promise<Finding[]> {
  const part = `queue ${lane}`
  if (isDeployed && url.includes(PLACEHOLDER_ACCOUNT)) {
    const remedy = 'put the stack’s queue URLs into [env.NAME.vars] and deploy the edge (first-deploy.md, step 4)'
    return [wrong(part, `wrangler.toml still has the placeholder ${url}`, remedy)]
  }
  if (!process.env.AWS_ACCESS_KEY_ID && !process.env.AWS_PROFILE) {
    return [skipped(part, 'no AWS credentials', 'set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')]
  }
  const client = new QueueClient(url, 0)
  try {
    const { waiting, inFlight } = await client.count(url)
    return [movementOf(part, waiting, inFlight), await deadLettersOf(part, lane, url, client)]
  } catch (error) {
    return [
      wrong(
        part,
        `${url} does not answer (${reasonOf(error)})`,
        'does the stack exist, in this region, and may these credentials read it?',
      ),
    ]
  } finally {
    client.close()
  }
}

function movementOf(part: string, waiting: number, inFlight: number): Finding {
  const what = `${waiting} waiting, ${inFlight} being worked on`
  if (waiting === 0 || inFlight > 0) return ok(part, what)
  return wrong(part, `${what}: nobody takes them`, 'no worker runs, or it reads another queue: alarms.md, no-capacity')
}

async function deadLettersOf(part: string, lane: string, url: string, client: QueueClient): Promise<Finding> {
  const dead = await client.deadLetterUrl(url)
  if (dead === undefined)
    return wrong(part, 'has no dead-letter queue', 'it is not the one of infra/aws: deploy the stack')
  const { waiting } = await client.count(dead)
  return waiting === 0
    ? ok(part, 'no dead letters')
    : wrong(part, `${waiting} dead letters`, `\`npm run redrive -- list\`; alarms.md, dead-letters-${lane}`)
}
