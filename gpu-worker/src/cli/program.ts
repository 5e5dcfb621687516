import { AppError, errorGroup } from '../../../shared/error-code.ts'
import { UsageError } from './arguments.ts'

/**
 * Runs a command line program and turns how it ends into an exit code: 0 done, 2 wrong arguments, 1 anything else.
 * The code is set and not forced: exiting while a graph runs would abort the process.
 *
 * @param name  for messages: "generate: --candidates: expected …"
 */
export async function runProgram(name: string, main: (argv: string[]) => Promise<void>): Promise<void> {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    if (error instanceof UsageError || (error instanceof AppError && errorGroup(error.code) === 'caller')) {
      console.error(`${name}: ${error.message}\nRun it with --help to see all flags.`)
      process.exitCode = 2
      return
    }
    // What an operator can act on needs no stack; a bug does.
    console.error(isOfTheWorld(error) ? `${name}: ${error.message}` : error)
    process.exitCode = 1
  }
}

/** An error of ours that is no bug, or one of the operating system: a full disk, a folder that may not be written. */
function isOfTheWorld(error: unknown): error is Error {
  if (error instanceof AppError) return errorGroup(error.code) !== 'bug'
  return error instanceof Error && 'syscall' in error
}
