import { AppError } from '../shared/error-code.ts'

/**
 * @param name  of the flag, for the complaint
 * @throws AppError `config_invalid`
 */
export function integerArgument(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new AppError(
    'config_invalid',
    `${name}: expected an integer from ${min} to ${max}, got ${JSON.stringify(text)}`,
  )
}
