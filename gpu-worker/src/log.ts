import { AppError } from '../../shared/error-code.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const LOG_FORMATS = ['json', 'pretty'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

export type LogFields = Readonly<Record<string, unknown>>

/** `event` is a fixed phrase that can be searched for; everything that varies goes into the fields. */
export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** A log whose every line carries `fields`. */
  with(fields: LogFields): Log
}

export interface LogOptions {
  format: LogFormat
  level: LogLevel
  /** Takes one line, without its newline. */
  write: (line: string) => void
  /** Milliseconds since the epoch. */
  now: () => number
  fields?: LogFields
}

/** One line an entry: JSON for machines, or plain text for a person at a terminal. */
export function createLog(options: LogOptions): Log {
  const threshold = LOG_LEVELS.indexOf(options.level)
  const render = options.format === 'json' ? renderJson : renderPretty
  const write = (level: LogLevel, event: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(level) < threshold) return
    options.write(render(new Date(options.now()).toISOString(), level, event, { ...options.fields, ...fields }))
  }
  return {
    debug: (event, fields) => write('debug', event, fields),
    info: (event, fields) => write('info', event, fields),
    warn: (event, fields) => write('warn', event, fields),
    error: (event, fields) => write('error', event, fields),
    with: (fields) => createLog({ ...options, fields: { ...options.fields, ...fields } }),
  }
}

function renderJson(time: string, level: LogLevel, event: string, fields: LogFields): string {
  return JSON.stringify({ time, level, event, ...mapValues(fields, describe) })
}

function renderPretty(time: string, level: LogLevel, event: string, fields: LogFields): string {
  const parts = Object.entries(mapValues(fields, describe)).map(([name, value]) => {
    return `${name}=${typeof value === 'string' && !/[\s"]/.test(value) ? value : JSON.stringify(value)}`
  })
  return [time.slice(11, 23), level.toUpperCase().padEnd(5), event, ...parts].join(' ')
}

/** Errors have no own enumerable members, so JSON would show `{}`; the chain of causes is what one looks for. */
function describe(value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const code = value instanceof AppError ? `${value.code}: ` : ''
  const cause = value.cause === undefined ? '' : ` <- ${String(describe(value.cause))}`
  // A stack is only worth its length where the fault is ours.
  const text = value instanceof AppError ? `${code}${value.message}` : (value.stack ?? String(value))
  return `${text}${cause}`
}

function mapValues(fields: LogFields, map: (value: unknown) => unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, map(value)]),
  )
}
