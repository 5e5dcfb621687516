import { describe, expect, it } from 'vitest'
import { isPermittedHost, isPermittedOrigin } from '../../shared/own-address.ts'

describe('a host name', () => {
  it.each(['localhost', 'parm.localhost', '127.0.0.1', '192.168.0.7', '[::1]', '[fe80::1]'])(
    'is ours where nobody elsewhere can point it at us: %s',
    (hostname) => expect(isPermittedHost(hostname, [])).toBe(true),
  )

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', ''])(
    'is foreign otherwise: "%s"',
    (hostname) => {
      expect(isPermittedHost(hostname, [])).toBe(false)
      expect(isPermittedHost(hostname, [hostname])).toBe(true)
      expect(isPermittedHost(hostname, ['*'])).toBe(true)
    },
  )
})

describe('the origin of a page', () => {
  const own = ['http://127.0.0.1:8787', 'https://images.example.com']

  it.each(['http://127.0.0.1:8787', 'http://localhost:8787', 'http://[::1]:8787', 'https://images.example.com'])(
    'is ours: %s',
    (origin) => expect(isPermittedOrigin(origin, own, [])).toBe(true),
  )

  it.each(['http://localhost:3000', 'https://evil.example', 'null', 'https://images.example.com.evil.example'])(
    'is foreign: %s',
    (origin) => {
      expect(isPermittedOrigin(origin, own, [])).toBe(false)
      expect(isPermittedOrigin(origin, own, [origin])).toBe(true)
      expect(isPermittedOrigin(origin, own, ['*'])).toBe(true)
    },
  )
})
