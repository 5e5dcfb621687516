import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

// wrangler.toml requires these secrets; tests get values of their own, so that nobody's .dev.vars matters.
for (const name of ['CALLBACK_SECRET', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) process.env[name] ??= 'test'
// No look-ups of Cloudflare hosts while testing.
Object.assign(process.env, {
  WRANGLER_SEND_METRICS: 'false',
  WRANGLER_HIDE_BANNER: 'true',
  CLOUDFLARE_CF_FETCH_ENABLED: 'false',
  WRANGLER_WRITE_LOGS: 'false',
  // It says where secrets come from at every start.
  WRANGLER_LOG: 'error',
})

/**
 * For every test of the project. Generous, because a loaded machine makes real storage and a real queue slow and processes start late; no test waits
 * for time to pass, and what has to happen is waited for this long at most.
 */
const PATIENT = {
  testTimeout: 180_000,
  hookTimeout: 180_000,
  setupFiles: ['./test/support/patience.setup.ts'],
  expect: { poll: { timeout: 60_000 } },
}

export default defineConfig({
  test: {
    // Every request writes a line; among thousands nobody would see the one that matters.
    onConsoleLog: (log) => !log.startsWith('{"at":"request"') || log.includes('"cause"'),
    globalSetup: ['./test/support/fauxqs.setup.ts'],
    projects: [
      {
        plugins: [
          cloudflareTest(({ inject }) => ({
            wrangler: { configPath: './wrangler.toml' },
            // Otherwise workerd tells whoever waits for an object when a test begins with empty storage, with addresses of its own code.
            verbose: false,
            miniflare: {
              bindings: {
                CALLBACK_SECRET: 'test-callback-secret',
                AWS_ACCESS_KEY_ID: 'test',
                AWS_SECRET_ACCESS_KEY: 'test',
                QUEUE_URL_INTERACTIVE: inject('queueUrlInteractive'),
                QUEUE_URL_BATCH: inject('queueUrlBatch'),
                MODELS: inject('models'),
              },
            },
          })),
        ],
        test: { ...PATIENT, name: 'edge', include: ['test/edge/**/*.test.ts'] },
      },
      {
        test: {
          ...PATIENT,
          name: 'node',
          environment: 'node',
          include: ['test/{shared,gpu-worker,infra,client}/**/*.test.ts', 'test/*.test.ts'],
        },
      },
      {
        // Whole processes: edge, queue and worker; one file at a time, they share two cores.
        test: {
          ...PATIENT,
          name: 'end-to-end',
          environment: 'node',
          include: ['test/end-to-end/**/*.test.ts'],
          fileParallelism: false,
        },
      },
    ],
  },
})
