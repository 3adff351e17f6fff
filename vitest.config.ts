/** Tests run real processes (engines, proxies, the built command): few workers, long bounds. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // oclif writes by console; an intercepted console loses what a command wrote before it ended.
    disableConsoleIntercept: true,
    // An error that was not expected is told whole.
    chaiConfig: { truncateThreshold: 400 },
    slowTestThreshold: 2_000,
    // What a test does not say itself: embedded, unless the whole run is to be on containers (test/support/docker).
    env: { DBPROXY_PROVIDER: process.env.DBPROXY_PROVIDER ?? 'embedded' },
    reporters: ['default'],
  },
});
