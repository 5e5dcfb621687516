import { createApp } from '../../../edge/app.ts'
import { sha256Hex } from '../../../edge/bytes.ts'
import type { Env } from '../../../edge/env.ts'
import { CreatedApiKey } from '../../../shared/api-key.ts'
import { tenantKeysRoute } from '../../../shared/routes.ts'
import { bindings, ORIGIN } from './api.ts'

export const OPERATOR_KEY = 'operator_of_this_test'

/** An edge that asks for keys, with the same objects behind it as the test's own. */
export async function closedEdge(): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const hash = await sha256Hex(new TextEncoder().encode(OPERATOR_KEY))
  const env: Env = { ...bindings, ACCESS: 'keys', PUBLIC_URL: ORIGIN, ADMIN_KEY_SHA256: hash }
  const app = createApp()
  return async (path, init = {}) => app.request(ORIGIN + path, init, env)
}

export const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

export const asJson = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})

export async function makeKey(
  edge: Awaited<ReturnType<typeof closedEdge>>,
  tenant: string,
  request: object = {},
): Promise<CreatedApiKey> {
  const response = await edge(tenantKeysRoute(tenant), asJson(request, bearer(OPERATOR_KEY)))
  if (response.status !== 201) throw new Error(`POST keys: ${response.status} ${await response.text()}`)
  return CreatedApiKey.parse(await response.json())
}
