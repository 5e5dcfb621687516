/** What an operator may choose for the local service as for a deployed one, by the name that it has in wrangler.toml. */
const NAMES = ['MODEL_ALIASES', 'SEED_POLICY', 'IMAGE_RESPONSE'] as const

/** Those that the environment has a word for. */
export function edgeSettings(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = environment[name]
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
}
