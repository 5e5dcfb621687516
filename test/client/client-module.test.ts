import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CLIENT_PATH, clientModule } from '../../infra/client-module.ts'

/** What a page loads before it can ask for anything. */
const MOST_BYTES = 24_000

describe('/client.js', () => {
  it('is what edge/client makes; otherwise run `npm run client:sync`', async () => {
    expect(readFileSync(CLIENT_PATH, 'utf8')).toBe(await clientModule())
  })

  it('imports nothing and is small', () => {
    const text = readFileSync(CLIENT_PATH, 'utf8')
    expect(text).not.toMatch(/^import /m)
    expect(text.length).toBeLessThan(MOST_BYTES)
  })
})
