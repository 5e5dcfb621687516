import { defineConfig } from 'vitest/config'

// Synthesis with a rules checker takes seconds, where trainings have the processors minutes.
export default defineConfig({ test: { include: ['test/**/*.test.ts'], testTimeout: 600_000, hookTimeout: 600_000 } })
