import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // The suites start worker threads of their own; two cores are the common case.
    maxWorkers: 2,
  },
});
