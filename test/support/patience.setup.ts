import { vi } from 'vitest'

/**
 * How long what has to happen may take, milliseconds: nothing on a free machine, seconds where others have its processors. It decides when a
 * test that waits in vain says so, and nothing else.
 */
const PATIENCE_MS = 60_000

// Vitest's own default, one second, makes every wait a question of who is faster. Its `expect.poll` has a setting, this has none.
const waitFor = vi.waitFor
vi.waitFor = (look, options) => waitFor(look, { timeout: PATIENCE_MS, ...asOptions(options) })

const asOptions = (options: Parameters<typeof waitFor>[1]) =>
  typeof options === 'number' ? { timeout: options } : options
