import { AppError } from '../shared/error-code.ts'

/**
 * Runs a command and sets the process's exit code to what it returns. Errors that are the caller's to mend are told in
 * their own words and exit with 2; any other is a bug and is thrown.
 *
 * @param usage  printed after the complaint when node:util's parseArgs refused the arguments
 */
export async function runCommand(main: () => number | Promise<number>, usage: string): Promise<void> {
  try {
    process.exitCode = await main()
  } catch (error) {
    if (error instanceof AppError) console.error(error.message)
    else if (error instanceof TypeError && 'code' in error) console.error(`${error.message}\n\n${usage}`)
    else throw error
    process.exitCode = 2
  }
}
