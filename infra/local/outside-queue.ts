import { randomBytes } from 'node:crypto'
import { AppError } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'

/** Flags that name queues of another implementation of SQS, for parseArgs. */
export const QUEUE_URL_FLAGS = {
  'queue-url-interactive': { type: 'string' },
  'queue-url-batch': { type: 'string' },
} as const

/** Queues that somebody else runs. */
export interface OutsideQueue {
  readonly region: string
  readonly urls: Readonly<Record<Lane, string>>
  readonly credentials: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string }
}

/**
 * Region and credentials come from the AWS_* variables; implementations that look at neither need none.
 *
 * @returns undefined where neither flag was given
 * @throws AppError config_invalid  where only one of them was, or one is no URL
 */
export function outsideQueue(
  flags: { readonly [name in keyof typeof QUEUE_URL_FLAGS]?: string },
  environment: NodeJS.ProcessEnv,
): OutsideQueue | undefined {
  const { 'queue-url-interactive': interactive, 'queue-url-batch': batch } = flags
  if (interactive === undefined && batch === undefined) return undefined
  if (interactive === undefined || batch === undefined) {
    throw new AppError('config_invalid', '--queue-url-interactive and --queue-url-batch go together')
  }
  for (const url of [interactive, batch]) {
    if (!URL.canParse(url))
      throw new AppError('config_invalid', `expected the URL of a queue, got ${JSON.stringify(url)}`)
  }
  const { AWS_REGION: region = 'us-east-1', AWS_ACCESS_KEY_ID = 'local', AWS_SECRET_ACCESS_KEY } = environment
  return {
    region,
    urls: { interactive, batch },
    credentials: {
      AWS_ACCESS_KEY_ID,
      AWS_SECRET_ACCESS_KEY: AWS_SECRET_ACCESS_KEY ?? randomBytes(24).toString('base64url'),
    },
  }
}
