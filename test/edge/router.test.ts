import { expect, it } from 'vitest'
import { createApp } from '../../edge/app.ts'

it('is found by the router that compiles all routes, which a parameter beside a fixed word would rule out', async () => {
  const app = createApp()
  await app.request('/healthz')
  expect(app.router.name).toBe('SmartRouter + RegExpRouter')
})
