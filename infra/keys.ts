import { createHash, randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import type { ParmClient } from '../edge/client/client.ts'
import { KeyId, SCOPES, type Scope, TenantName } from '../shared/api-key.ts'
import { AppError } from '../shared/error-code.ts'
import { runCommand } from './command.ts'
import { adminFailure, edgeAdmin } from './keys/edge-admin.ts'
import { accountLines } from './keys/wording.ts'

const USAGE = `npm run keys -- COMMAND

  operator                              makes an operator's key and prints what wrangler.toml must hold of it
  create TENANT [--scopes generate,read] [--note TEXT] [--requests 60] [--window 60] [--jobs 8]
         [--expires DAYS]
                                        makes an API key; it is printed once and kept as a hash
  show TENANT                           keys, budget and spending
  erase TENANT                          forgets keys, budget, requests and their prompts; what is under way is given up
  revoke TENANT KEY_ID                  the key opens nothing from now on
  budget TENANT ROW_STEPS [--window 86400]
                                        bounds the row-steps of new work in each window; "none" takes the bound away

All but the first speak to the edge at --url (variable PARM_EDGE_URL, default http://127.0.0.1:8787) with the operator's
key in the variable PARM_OPERATOR_KEY.`

const text = { type: 'string' } as const

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: text,
      scopes: text,
      note: text,
      requests: text,
      window: text,
      jobs: text,
      expires: text,
      help: { type: 'boolean' },
    },
  })
  const [command, tenant, subject, ...more] = positionals
  if (values.help || command === undefined) {
    console.log(USAGE)
    return values.help ? 0 : 2
  }
  if (more.length > 0) throw wrong(`expected nothing after ${JSON.stringify(subject)}, got ${JSON.stringify(more[0])}`)
  if (command === 'operator') {
    for (const line of operatorKeyLines()) console.log(line)
    return 0
  }
  const origin = values.url ?? process.env.PARM_EDGE_URL ?? 'http://127.0.0.1:8787'
  const asked = { command, tenant: named('TENANT', TenantName, tenant), subject }
  try {
    await obey(asked, values, edgeAdmin(origin, operatorKey()))
    return 0
  } catch (error) {
    throw adminFailure(error, origin)
  }
}

interface Limits {
  readonly scopes?: string
  readonly note?: string
  readonly requests?: string
  readonly window?: string
  readonly jobs?: string
  readonly expires?: string
}

async function obey(
  { command, tenant: name, subject }: { command: string; tenant: string; subject: string | undefined },
  values: Limits,
  edge: ParmClient['admin'],
): Promise<void> {
  switch (command) {
    case 'create': {
      const created = await edge.createKey(name, {
        ...(values.scopes === undefined ? {} : { scopes: scopesIn(values.scopes) }),
        ...(values.note === undefined ? {} : { note: values.note }),
        ...integer('requests', values.requests),
        ...integer('windowSeconds', values.window),
        ...integer('concurrentJobs', values.jobs),
        ...integer('expiresInDays', values.expires),
      })
      console.error(`Key ${created.id} of ${created.tenant}: ${created.scopes.join(', ')}. It is not shown again:`)
      console.log(created.key)
      return
    }
    case 'show': {
      for (const line of accountLines(await edge.account(name))) console.log(line)
      return
    }
    case 'erase': {
      const { tenant, canceledJobs } = await edge.erase(name)
      console.log(`tenant ${tenant} is forgotten; ${canceledJobs} requests under way were given up`)
      return
    }
    case 'revoke': {
      const { id, revokedAt = 0 } = await edge.revokeKey(name, named('KEY_ID', KeyId, subject))
      console.log(`key ${id} opens nothing since ${new Date(revokedAt).toISOString()}`)
      return
    }
    case 'budget': {
      const rowSteps = required('ROW_STEPS', subject)
      const account =
        rowSteps === 'none'
          ? await edge.removeBudget(name)
          : await edge.setBudget(name, {
              rowSteps: integer('rowSteps', rowSteps).rowSteps ?? 0,
              ...integer('windowSeconds', values.window),
            })
      for (const line of accountLines(account)) console.log(line)
      return
    }
    default:
      throw wrong(`expected one of operator, create, show, erase, revoke, budget, got ${JSON.stringify(command)}`)
  }
}

function operatorKeyLines(): string[] {
  const key = `operator_${randomBytes(32).toString('base64url')}`
  const hash = createHash('sha256').update(key).digest('hex')
  return [
    `The operator's key; keep it, it is stored nowhere:`,
    key,
    'wrangler.toml, [vars] of the environment, and deploy again:',
    `ADMIN_KEY_SHA256 = "${hash}"`,
  ]
}

function operatorKey(): string {
  const key = process.env.PARM_OPERATOR_KEY
  if (!key) throw wrong("expected the operator's key in the variable PARM_OPERATOR_KEY, got nothing")
  return key
}

function required(what: string, value: string | undefined): string {
  if (value === undefined) throw wrong(`expected ${what}, got nothing`)
  return value
}

/** Checked before anything is sent: a name with a slash or dots in it would reach another tenant. */
function named(what: string, schema: typeof TenantName | typeof KeyId, value: string | undefined): string {
  const name = schema.safeParse(required(what, value))
  if (name.success) return name.data
  throw wrong(`${what}: ${name.error.issues[0]?.message}, got ${JSON.stringify(value)}`)
}

function scopesIn(text: string): Scope[] {
  return text.split(',').map((part) => {
    const scope = SCOPES.find((known) => known === part.trim())
    if (!scope) throw wrong(`--scopes: expected ${SCOPES.join(', ')} or both, got ${JSON.stringify(part)}`)
    return scope
  })
}

/** Bounds are the edge's to check; here only that it is a whole number. */
function integer<Name extends string>(name: Name, value: string | undefined): { [key in Name]?: number } {
  if (value === undefined) return {}
  if (!/^\d{1,15}$/.test(value)) throw wrong(`${name}: expected a whole number, got ${JSON.stringify(value)}`)
  return { [name]: Number(value) } as { [key in Name]?: number }
}

function wrong(message: string): AppError {
  return new AppError('config_invalid', message)
}

await runCommand(main, USAGE)
