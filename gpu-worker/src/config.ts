import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { AppError, type FieldProblem } from '../../shared/error-code.ts'
import type { Lane } from '../../shared/job.ts'
import { otlpHeaders } from '../../shared/otlp.ts'
import { DEFAULT_MOST_EXTRA } from './admission.ts'
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './log.ts'
import { PROVIDERS, type Provider } from './models/providers.ts'

export interface WorkerConfig {
  /** Named in claims, logs and `started` events, which callers see: no name of a machine unless its operator gives it one. */
  readonly workerName: string
  /** In the order in which they are served. */
  readonly queues: readonly { readonly lane: Lane; readonly url: string }[]
  /** Origins that a message may name as its edge; undefined: any. */
  readonly edgeOrigins: readonly string[] | undefined
  readonly bundleDir: string
  /** Rows of the engine's batch; undefined: as many as the processor can use. */
  readonly slots: number | undefined
  readonly threads: number
  /** In the order in which they are tried. */
  readonly providers: readonly Provider[]
  /** How long SQS hides a message from others after we received or extended it. */
  readonly visibilitySeconds: number
  readonly leaseHeartbeatSeconds: number
  readonly pollSeconds: number
  /** Between two looks at the dead letters. */
  readonly deadLetterSeconds: number
  /** A model call that takes longer is taken for hung, and the process ends. */
  readonly stallSeconds: number
  /** From SIGTERM to giving back what is still running. */
  readonly graceSeconds: number
  /** Attempts at one job, ours and other workers' together, before it is failed for good. */
  readonly maxAttempts: number
  /** Jobs of a lane to hold although all slots are wanted (`admission.ts`). */
  readonly mostExtra: number
  readonly health: { readonly host: string; readonly port: number }
  /** CloudWatch namespace of the fleet's metrics; undefined: none are written to the log. */
  readonly metricsNamespace: string | undefined
  /** Where spans are sent; undefined: nowhere. */
  readonly traces: { readonly endpoint: string; readonly headers: Readonly<Record<string, string>> } | undefined
  readonly log: {
    readonly format: LogFormat
    readonly level: LogLevel
    /** Whether prompts stand in it; they are their callers', so else only their hashes do. */
    readonly hasPrompts: boolean
  }
}

/** Of this process, and of no machine. */
const DEFAULT_NAME = `worker-${randomBytes(4).toString('hex')}`
const DEFAULT_BUNDLE = resolve(import.meta.dirname, '../bundles/emoji-96')

const LOG_PROMPTS = ['no', 'yes'] as const

/** Every name this worker reads, with what it expects; the SDK reads its own AWS_* names beside them. */

const VARIABLES = {
  PARM_QUEUE_URL_INTERACTIVE: 'the URL of the interactive SQS queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME',
  PARM_QUEUE_URL_BATCH: 'the URL of the batch SQS queue, or nothing to serve the interactive queue alone',
  PARM_EDGE_ORIGINS: 'a comma-separated list of origins, https://api.example.com, or nothing to permit any',
  PARM_BUNDLE: 'a bundle directory',
  PARM_SLOTS: 'an integer from 1 to 1024',
  PARM_THREADS: 'an integer from 1 to 256',
  PARM_PROVIDERS: `a comma-separated list of ${PROVIDERS.join(', ')}`,
  PARM_VISIBILITY_SECONDS: 'an integer from 2 to 900',
  PARM_LEASE_HEARTBEAT_SECONDS: 'a number from 0.5 to 300, below half of PARM_VISIBILITY_SECONDS',
  PARM_POLL_SECONDS: 'an integer from 1 to 20',
  PARM_DEAD_LETTER_SECONDS: 'an integer from 1 to 3600',
  PARM_STALL_SECONDS: 'an integer from 5 to 3600',
  PARM_GRACE_SECONDS: 'an integer from 0 to 600',
  PARM_MAX_ATTEMPTS: 'an integer from 1 to 100',
  PARM_EXTRA_JOBS: 'an integer from 0 to 10000',
  PARM_HEALTH_HOST: 'an address to listen on',
  PARM_HEALTH_PORT: 'an integer from 0 to 65535; 0 takes any free port',
  PARM_METRICS_NAMESPACE: 'a CloudWatch namespace of at most 255 characters, or nothing to publish no metrics',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'where spans are sent by OTLP over HTTP, http://127.0.0.1:4318, or nothing to send none',
  OTEL_EXPORTER_OTLP_HEADERS: 'headers for it, name=value,name=value',
  PARM_WORKER_NAME: '1 to 200 characters',
  PARM_LOG_FORMAT: LOG_FORMATS.join(' or '),
  PARM_LOG_LEVEL: LOG_LEVELS.join(', '),
  PARM_LOG_PROMPTS: LOG_PROMPTS.join(' or '),
} as const
type Variable = keyof typeof VARIABLES
/** What an operator's commands read (keys, doctor), often in the shell in which a worker or `redrive` is started. */
const OPERATOR_VARIABLES: readonly string[] = ['PARM_EDGE_URL', 'PARM_OPERATOR_KEY', 'PARM_API_KEY']

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads and checks the whole environment at once, so that one start tells everything that is wrong.
 *
 * @param isTerminal  whether a person reads the log: decides the default of PARM_LOG_FORMAT
 * @throws AppError config_invalid  listing every problem as "NAME: expected X, got Y"
 */
export function parseConfig(environment: Environment, isTerminal = false): WorkerConfig {
  const reader = new EnvironmentReader(environment)
  const interactive = reader.queueUrl('PARM_QUEUE_URL_INTERACTIVE', true)
  const batch = reader.queueUrl('PARM_QUEUE_URL_BATCH', false)
  const visibilitySeconds = reader.number('PARM_VISIBILITY_SECONDS', { min: 2, max: 900, fallback: 60 })
  const config: WorkerConfig = {
    workerName: reader.text('PARM_WORKER_NAME', DEFAULT_NAME, 200),
    queues: [
      ...(interactive ? [{ lane: 'interactive' as const, url: interactive }] : []),
      ...(batch ? [{ lane: 'batch' as const, url: batch }] : []),
    ],
    edgeOrigins: reader.origins('PARM_EDGE_ORIGINS'),
    bundleDir: resolve(reader.text('PARM_BUNDLE', DEFAULT_BUNDLE, 4096)),
    slots: reader.number('PARM_SLOTS', { min: 1, max: 1024, fallback: undefined }),
    threads: reader.number('PARM_THREADS', { min: 1, max: 256, fallback: Math.min(availableParallelism(), 256) }),
    providers: reader.list('PARM_PROVIDERS', PROVIDERS, PROVIDERS),
    visibilitySeconds,
    leaseHeartbeatSeconds: reader.number('PARM_LEASE_HEARTBEAT_SECONDS', {
      min: 0.5,
      max: 300,
      fallback: visibilitySeconds / 3,
      fractions: true,
    }),
    pollSeconds: reader.number('PARM_POLL_SECONDS', { min: 1, max: 20, fallback: 20 }),
    deadLetterSeconds: reader.number('PARM_DEAD_LETTER_SECONDS', { min: 1, max: 3600, fallback: 60 }),
    stallSeconds: reader.number('PARM_STALL_SECONDS', { min: 5, max: 3600, fallback: 120 }),
    graceSeconds: reader.number('PARM_GRACE_SECONDS', { min: 0, max: 600, fallback: 25 }),
    maxAttempts: reader.number('PARM_MAX_ATTEMPTS', { min: 1, max: 100, fallback: 5 }),
    mostExtra: reader.number('PARM_EXTRA_JOBS', { min: 0, max: 10_000, fallback: DEFAULT_MOST_EXTRA }),
    health: {
      host: reader.text('PARM_HEALTH_HOST', '127.0.0.1', 255),
      port: reader.number('PARM_HEALTH_PORT', { min: 0, max: 65_535, fallback: 8788 }),
    },
    metricsNamespace: reader.text('PARM_METRICS_NAMESPACE', undefined, 255),
    traces: reader.traces(),
    log: {
      format: reader.choice('PARM_LOG_FORMAT', LOG_FORMATS, isTerminal ? 'pretty' : 'json'),
      level: reader.choice('PARM_LOG_LEVEL', LOG_LEVELS, 'info'),
      hasPrompts: reader.choice('PARM_LOG_PROMPTS', LOG_PROMPTS, 'no') === 'yes',
    },
  }
  checkRelations(config, reader)
  reader.refuseUnknown()
  reader.throwIfAny()
  return deepFreeze(config)
}

function checkRelations(config: WorkerConfig, reader: EnvironmentReader): void {
  // One heartbeat may fail and the next must still be in time.
  if (config.leaseHeartbeatSeconds >= config.visibilitySeconds / 2) {
    reader.reject(
      'PARM_LEASE_HEARTBEAT_SECONDS',
      `less than half of PARM_VISIBILITY_SECONDS (${config.visibilitySeconds}), so less than ${config.visibilitySeconds / 2}`,
      String(config.leaseHeartbeatSeconds),
    )
  }
  // While idle, one slot listens to the interactive queue; with a single slot the batch queue would never be asked.
  if (config.queues.length > 1 && config.slots !== undefined && config.slots < 2) {
    reader.reject('PARM_SLOTS', 'at least 2 where PARM_QUEUE_URL_BATCH is set', String(config.slots))
  }
  if (new Set(config.queues.map((queue) => queue.url)).size < config.queues.length) {
    reader.reject('PARM_QUEUE_URL_BATCH', 'another queue than PARM_QUEUE_URL_INTERACTIVE', 'the same URL')
  }
  // One client, one endpoint.
  if (new Set(config.queues.map((queue) => URL.parse(queue.url)?.host)).size > 1) {
    reader.reject('PARM_QUEUE_URL_BATCH', 'a queue on the host of PARM_QUEUE_URL_INTERACTIVE', 'another host')
  }
  reader.requireRegion()
}

class EnvironmentReader {
  readonly #environment: Environment
  readonly #problems: FieldProblem[] = []

  constructor(environment: Environment) {
    this.#environment = environment
  }

  reject(field: string, permitted: string, got: string): void {
    this.#problems.push({ field, problem: `got ${got}`, permitted })
  }

  text<Fallback extends string | undefined>(name: Variable, fallback: Fallback, maxLength: number): string | Fallback {
    const value = this.#value(name)
    if (value === undefined) return fallback
    if (value.length > maxLength) this.reject(name, `at most ${maxLength} characters`, `${value.length}`)
    return value
  }

  number<Fallback extends number | undefined>(
    name: Variable,
    rule: { min: number; max: number; fallback: Fallback; fractions?: boolean },
  ): number | Fallback {
    const value = this.#value(name)
    if (value === undefined) return rule.fallback
    const shape = rule.fractions ? /^\d+(\.\d+)?$/ : /^\d+$/
    const number = Number(value)
    if (!shape.test(value) || number < rule.min || number > rule.max) {
      this.reject(name, VARIABLES[name], quote(value))
      return rule.fallback
    }
    return number
  }

  choice<T extends string>(name: Variable, choices: readonly T[], fallback: T): T {
    const value = this.#value(name)
    if (value === undefined) return fallback
    const found = choices.find((choice) => choice === value)
    if (found === undefined) this.reject(name, VARIABLES[name], quote(value))
    return found ?? fallback
  }

  list<T extends string>(name: Variable, choices: readonly T[], fallback: readonly T[]): readonly T[] {
    const value = this.#value(name)
    if (value === undefined) return fallback
    const found = value.split(',').map((part) => choices.find((choice) => choice === part.trim()))
    const known = found.filter((part): part is T => part !== undefined)
    if (known.length < found.length || new Set(known).size < known.length) {
      this.reject(name, `${VARIABLES[name]}, each once`, quote(value))
      return fallback
    }
    return known
  }

  origins(name: Variable): readonly string[] | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    const origins = value.split(',').map((part) => part.trim())
    const wrong = origins.find((origin) => URL.parse(origin)?.origin !== origin)
    if (wrong !== undefined) this.reject(name, VARIABLES[name], quote(wrong))
    return origins
  }

  queueUrl(name: Variable, required: boolean): string | undefined {
    const value = this.#value(name)
    if (value === undefined) {
      if (required) this.reject(name, VARIABLES[name], 'nothing')
      return undefined
    }
    if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol) || new URL(value).pathname.length < 2) {
      this.reject(name, VARIABLES[name], quote(value))
    }
    return value
  }

  traces(): WorkerConfig['traces'] {
    const name = 'OTEL_EXPORTER_OTLP_ENDPOINT'
    const endpoint = this.#value(name)
    if (endpoint === undefined) return undefined
    if (!/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) this.reject(name, VARIABLES[name], quote(endpoint))
    return {
      endpoint: endpoint.replace(/\/$/, ''),
      headers: otlpHeaders(this.text('OTEL_EXPORTER_OTLP_HEADERS', '', 8192)),
    }
  }

  /** The SDK would only complain at its first call, in words that name no variable. */
  requireRegion(): void {
    if (!this.#environment.AWS_REGION && !this.#environment.AWS_DEFAULT_REGION) {
      this.reject('AWS_REGION', 'the AWS region of the queues, us-east-1', 'nothing')
    }
  }

  /** A misspelt name would otherwise be a default that nobody asked for. */
  refuseUnknown(): void {
    for (const name of Object.keys(this.#environment)) {
      if (name.startsWith('PARM_') && !(name in VARIABLES) && !OPERATOR_VARIABLES.includes(name)) {
        this.reject(name, `one of ${Object.keys(VARIABLES).join(', ')}`, 'an unknown name')
      }
    }
  }

  throwIfAny(): void {
    if (this.#problems.length === 0) return
    const lines = this.#problems.map(({ field, problem, permitted }) => `${field}: expected ${permitted}, ${problem}`)
    throw new AppError('config_invalid', lines.join('\n'), { problems: this.#problems })
  }

  /** An empty variable counts as unset: that is how shells and task definitions clear one. */
  #value(name: Variable): string | undefined {
    const value = this.#environment[name]?.trim()
    return value === '' ? undefined : value
  }
}

const quote = (value: string): string => JSON.stringify(value)

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member)
  return Object.freeze(value)
}
