import { checkAnswer } from '../../edge/client/answer-check.ts'
import { ClientError, ParmClient } from '../../edge/client/client.ts'
import type { AccessMode } from '../../shared/api-key.ts'
import type { ModelCard } from '../../shared/model-card.ts'
import { type Finding, ok, reasonOf, wrong } from './finding.ts'

/** Longer than the edge itself waits for its storage. */
const TIMEOUT_MS = 10_000

/** The edge under examination, asked as its callers ask it, once: whoever tries again hides what is to be found. */
export interface EdgeUnderTest {
  readonly url: string
  readonly api: ParmClient
}

/** @param apiKey  undefined where none is needed */
export function edgeUnderTest(url: string, apiKey: string | undefined): EdgeUnderTest {
  const baseUrl = url.replace(/\/$/, '')
  return {
    url: baseUrl,
    api: new ParmClient({ baseUrl, apiKey, retries: 0, timeoutMs: TIMEOUT_MS, check: checkAnswer }),
  }
}

/** What the edge says about itself, for the checks that follow. */
export interface EdgeFacts {
  readonly access: AccessMode
  /** The default first. */
  readonly models: readonly ModelCard[]
}

/** How a call failed, as the end of a sentence that begins with the call. */
export function failureOf(error: unknown): string {
  if (!(error instanceof ClientError) || error.status === undefined) return `failed: ${reasonOf(error)}`
  return `answered ${error.status}${error.detail === undefined ? '' : `: ${error.detail}`}`
}

/**
 * Whether the edge answers, is configured, reaches its storage, and knows a model.
 *
 * @returns facts: undefined where nothing further can be asked of it
 */
export async function checkEdge({
  url,
  api,
}: EdgeUnderTest): Promise<{ findings: Finding[]; facts: EdgeFacts | undefined }> {
  const startedMs = performance.now()
  const findings: Finding[] = []
  let access: AccessMode
  try {
    access = (await api.service.health()).access
    findings.push(ok('edge', `${url} answers in ${Math.round(performance.now() - startedMs)} ms, access: ${access}`))
  } catch (error) {
    return { findings: [notAnswering(url, error)], facts: undefined }
  }
  findings.push(
    await api.service.readiness().then(
      () => ok('storage', 'R2 and Durable Objects answer'),
      (error: unknown) =>
        wrong(
          'storage',
          `GET /readyz ${failureOf(error)}`,
          'does the bucket of wrangler.toml exist? Else see Cloudflare’s status page',
        ),
    ),
  )
  try {
    const { data: models } = await api.service.models()
    findings.push(ok('models', models.map(({ id, revision }) => `${id} revision ${revision.slice(0, 12)}`).join(', ')))
    return { findings, facts: { access, models } }
  } catch (error) {
    const remedy = 'run `npm run models:sync` and deploy the edge'
    return { findings: [...findings, wrong('models', `GET /v1/models ${failureOf(error)}`, remedy)], facts: undefined }
  }
}

function notAnswering(url: string, error: unknown): Finding {
  if (!(error instanceof ClientError) || error.status === undefined) {
    const remedy = 'is the address right and the Worker deployed? `npx wrangler deployments list --env NAME`'
    return wrong('edge', `${url} cannot be reached (${reasonOf(error)})`, remedy)
  }
  const remedy =
    error.status >= 500
      ? 'set what it names in wrangler.toml or by `npx wrangler secret put`, and deploy (first-deploy.md)'
      : 'this address is no edge of this version'
  return wrong('edge', `GET /healthz ${failureOf(error)}`, remedy)
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
    findings.push(
      await edge.api.jobs.list({ limit: 1 }).then(
        () => ok('API key', 'opens the edge'),
        (error: unknown) => wrong('API key', `GET /v1/jobs ${failureOf(error)}`, 'make another: keys-and-budgets.md'),
      ),
    )
  }
  if (keys.operator !== undefined) {
    const remedy = 'ADMIN_KEY_SHA256 of wrangler.toml must be its hash: `npm run keys -- operator`'
    findings.push(
      await edge.api.service.metrics({ headers: { authorization: `Bearer ${keys.operator}` } }).then(
        () => ok('operator’s key', 'opens the operator’s routes'),
        (error: unknown) => wrong('operator’s key', failureOf(error), remedy),
      ),
    )
  }
  return findings
}
