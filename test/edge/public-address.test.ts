import { reset } from 'cloudflare:test'
import { afterEach, describe, expect, it } from 'vitest'
import { createApp } from '../../edge/app.ts'
import type { Env } from '../../edge/env.ts'
import { Problem } from '../../edge/response-schema.ts'
import { bindings } from './support/api.ts'
import { asJson } from './support/keys.ts'

afterEach(reset)

const PUBLIC = 'https://api.example.com'

function edgeAt(settings: Partial<Env>) {
  const app = createApp()
  return async (url: string, init: RequestInit = {}) => app.request(url, init, { ...bindings, ...settings })
}

describe('an edge that asks for keys', () => {
  it.each(['', 'http://api.example.com', 'http://127.0.0.1.example.com'])(
    'is not configured without an https address of its own: %j',
    async (PUBLIC_URL) => {
      const response = await edgeAt({ ACCESS: 'keys', PUBLIC_URL })(`${PUBLIC}/healthz`)
      expect(response.status).toBe(500)
      expect(Problem.parse(await response.json()).detail).toContain(
        'PUBLIC_URL: expected the https origin of this edge',
      )
    },
  )

  it.each([PUBLIC, 'http://127.0.0.1:8787', 'http://localhost:8787'])('may be at %s', async (PUBLIC_URL) => {
    expect((await edgeAt({ ACCESS: 'keys', PUBLIC_URL })(`${PUBLIC_URL}/healthz`)).status).not.toBe(500)
  })
})

describe('an edge with an https address', () => {
  const edge = edgeAt({ PUBLIC_URL: PUBLIC })

  it.each([`${PUBLIC.replace('https', 'http')}/v1/models?x=1`, 'http://other.example.com/v1/models?x=1'])(
    'sends who looks over http there: %s',
    async (url) => {
      const response = await edge(url, { redirect: 'manual' })
      expect([response.status, response.headers.get('location')]).toEqual([308, `${PUBLIC}/v1/models?x=1`])
    },
  )

  it('refuses whatever is sent over http, because it was in the clear', async () => {
    const response = await edge('http://api.example.com/v1/jobs', asJson({ prompt: 'a spoon' }))
    expect(response.status).toBe(403)
    expect(Problem.parse(await response.json()).detail).toContain(`https only: ${PUBLIC}`)
  })

  it('has browsers speak https only from then on', async () => {
    const response = await edge(`${PUBLIC}/healthz`)
    expect(response.headers.get('strict-transport-security')).toMatch(/^max-age=\d{8}$/)
  })

  it('lets what stands before it speak https, where workers have an address of their own', async () => {
    const behind = edgeAt({ PUBLIC_URL: PUBLIC, CALLBACK_URL: 'http://127.0.0.1:8787' })
    expect((await behind('http://127.0.0.1:8787/healthz')).status).toBe(200)
  })
})
