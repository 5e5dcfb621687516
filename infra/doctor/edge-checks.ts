import { z } from 'zod'
import { ACCESS_MODES } from '../../shared/api-key.ts'
import { ModelCard } from '../../shared/model-card.ts'
import { type Finding, ok, reasonOf, wrong } from './finding.ts'

/** Longer than the edge itself waits for its storage. */
const TIMEOUT_MS = 10_000

export interface Reply {
  readonly status: number
  readonly body: unknown
  readonly headers: Headers
}

/** The edge under examination, asked as its callers ask it. */
export class EdgeUnderTest {
  readonly url: string
  readonly #headers: Readonly<Record<string, string>>

  /** @param apiKey  undefined where none is needed */
  constructor(url: string, apiKey: string | undefined) {
    this.url = url.replace(/\/$/, '')
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  }

  /** @throws whatever fetch throws */
  async ask(path: string, init: RequestInit = {}): Promise<Reply> {
    const response = await fetch(this.url + path, {
      ...init,
      headers: { ...this.#headers, ...(init.headers as Record<string, string>) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    const body: unknown = await response.json().catch(() => undefined)
    return { status: response.status, body, headers: response.headers }
  }
}

/** What the edge says about itself, for the checks that follow. */
export interface EdgeFacts {
  readonly access: (typeof ACCESS_MODES)[number]
  /** The default first. */
  readonly models: readonly ModelCard[]
}

/** Of OpenAI's list, which has more members than a card. */
const ModelCards = z.object({ data: z.array(z.object(ModelCard.shape)).min(1) })
const Health = z.object({ status: z.literal('ok'), access: z.enum(ACCESS_MODES) })

export const detailOf = ({ status, body }: Reply): string => {
  const detail = (body as { detail?: unknown } | undefined)?.detail
  return `answered ${status}${typeof detail === 'string' ? `: ${detail}` : ''}`
}

/**
 * Whether the edge answers, is configured, reaches its storage, and knows a model.
 *
 * @returns facts: undefined where nothing further can be asked of it
 */
export async function checkEdge(edge: EdgeUnderTest): Promise<{ findings: Finding[]; facts: EdgeFacts | undefined }> {
  const startedMs = performance.now()
  let reply: Reply
  try {
    reply = await edge.ask('/healthz')
  } catch (error) {
    const remedy = 'is the address right and the Worker deployed? `npx wrangler deployments list --env NAME`'
    return { findings: [wrong('edge', `${edge.url} cannot be reached (${reasonOf(error)})`, remedy)], facts: undefined }
  }
  const health = Health.safeParse(reply.body)
  if (!health.success) {
    const remedy =
      reply.status >= 500
        ? 'set what it names in wrangler.toml or by `npx wrangler secret put`, and deploy (first-deploy.md)'
        : 'this address is no edge of this version'
    return { findings: [wrong('edge', `GET /healthz ${detailOf(reply)}`, remedy)], facts: undefined }
  }
  const { access } = health.data
  const findings = [
    ok('edge', `${edge.url} answers in ${Math.round(performance.now() - startedMs)} ms, access: ${access}`),
  ]
  const ready = await edge.ask('/readyz')
  findings.push(
    ready.status === 200
      ? ok('storage', 'R2 and Durable Objects answer')
      : wrong(
          'storage',
          `GET /readyz ${detailOf(ready)}`,
          'does the bucket of wrangler.toml exist? Else see Cloudflare’s status page',
        ),
  )
  const listed = await edge.ask('/v1/models')
  const models = ModelCards.safeParse(listed.body)
  if (!models.success) {
    findings.push(
      wrong('models', `GET /v1/models ${detailOf(listed)}`, 'run `npm run models:sync` and deploy the edge'),
    )
    return { findings, facts: undefined }
  }
  const { data: cards } = models.data
  const named = cards.map(({ id, revision }) => `${id} revision ${revision.slice(0, 12)}`).join(', ')
  findings.push(ok('models', named))
  return { findings, facts: { access, models: cards } }
}

/** Whether the keys at hand open what they should. */
export async function checkAccess(
  edge: EdgeUnderTest,
  { access }: EdgeFacts,
  keys: { api: string | undefined; operator: string | undefined },
): Promise<Finding[]> {
  if (access === 'open') return [ok('access', 'anybody may call; a public edge should have ACCESS = "keys"')]
  const findings: Finding[] = []
  if (keys.api !== undefined) {
    const reply = await edge.ask('/v1/jobs?limit=1')
    findings.push(
      reply.status === 200
        ? ok('API key', 'opens the edge')
        : wrong('API key', `GET /v1/jobs ${detailOf(reply)}`, 'make another: keys-and-budgets.md'),
    )
  }
  if (keys.operator !== undefined) {
    const reply = await edge.ask('/metrics', { headers: { authorization: `Bearer ${keys.operator}` } })
    findings.push(
      reply.status === 200
        ? ok('operator’s key', 'opens the operator’s routes')
        : wrong(
            'operator’s key',
            detailOf(reply),
            'ADMIN_KEY_SHA256 of wrangler.toml must be its hash: `npm run keys -- operator`',
          ),
    )
  }
  return findings
}
