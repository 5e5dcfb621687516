import { ClientError } from './client-error.ts'

/** Of jobs, tenants and keys alike. An address's parser takes dots for the folder above, encoded or not. */
const NAME = /^[A-Za-z0-9_-]{1,100}$/

/**
 * A name that is to be a segment of a path, as it is; with another one the call would reach something else.
 *
 * @param field  what it names, for the error
 * @throws ClientError invalid_request
 */
export function named(field: string, name: string): string {
  if (NAME.test(name)) return name
  throw invalidArgument(field, name, '1 to 100 of A-Z a-z 0-9 _ -')
}

export function invalidArgument(field: string, value: unknown, permitted: string): ClientError {
  const problem = `is ${JSON.stringify(value)?.slice(0, 120)}`
  const message = `${field} ${problem}; permitted: ${permitted}`
  const problems = [{ field, problem, permitted }]
  return new ClientError(message, { code: 'invalid_request', problems, param: field, isRetryable: false })
}
