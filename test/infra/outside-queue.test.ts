import { describe, expect, it } from 'vitest'
import { outsideQueue } from '../../infra/local/outside-queue.ts'

const URLS = { 'queue-url-interactive': 'http://sqs.local:9324/1/a', 'queue-url-batch': 'http://sqs.local:9324/1/b' }

describe('queues of another implementation', () => {
  it('are named by two flags; region and keys come from the environment', () => {
    const environment = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
    expect(outsideQueue(URLS, environment)).toEqual({
      region: 'eu-west-1',
      urls: { interactive: 'http://sqs.local:9324/1/a', batch: 'http://sqs.local:9324/1/b' },
      credentials: { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' },
    })
  })

  it('need neither where the implementation looks at neither', () => {
    const { region, credentials } = outsideQueue(URLS, {}) ?? {}
    expect(region).toBe('us-east-1')
    expect(credentials?.AWS_SECRET_ACCESS_KEY.length).toBeGreaterThan(20)
  })

  it('are not used unless they are named', () => {
    expect(outsideQueue({}, { AWS_REGION: 'eu-west-1' })).toBeUndefined()
  })

  it.each([
    ['one of them alone', { 'queue-url-batch': 'http://sqs.local/1/b' }, 'go together'],
    ['what is no URL', { ...URLS, 'queue-url-batch': 'parm-batch' }, 'expected the URL of a queue, got "parm-batch"'],
  ])('are refused as %s', (_, flags, words) => {
    expect(() => outsideQueue(flags, {})).toThrow(words)
  })
})
