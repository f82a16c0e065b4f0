import { defineConfig } from 'vitest/config';

/** What every project of the test run shares. */
const shared = {
  pool: 'forks',
  // Limits are for tests that hang: two cores may be shared with others.
  testTimeout: 120_000,
  hookTimeout: 120_000,
  expect: { poll: { timeout: 30_000 } },
} as const;

/** Files whose figures are those of leaders that are killed or leave: nothing else runs beside them. */
const alone = [
  'test/chaos/{database-crash,leader-crash,timing-crash}.test.ts',
  'test/e2e/two-instances.test.ts',
];

/** Files that measure their process, or change its zone, clock or variables: each has a process to itself. */
const apart = [
  'test/conformance/connection-limits.test.ts',
  'test/domain/schedule/local-zone.test.ts',
  'test/engine/access/json-web-tokens.test.ts',
  'test/engine/targets/{grpc,http}-target-limits.test.ts',
  'test/engine/targets/http-target-client.test.ts',
  'test/engine/targets/http/stream-body.test.ts',
  'test/engine/targets/socket-target-faults.test.ts',
  'test/store/embedded-postgres.test.ts',
];

/**
 * The long form of the chaos tests: `npm run test:chaos` runs all of them. In every run are the killed and the stopped
 * leader, late claims, lost replies and results of workers.
 */
const longChaos = process.env.TEST_CHAOS
  ? []
  : [
      'test/chaos/{database-crash,timing-crash}.test.ts',
      'test/chaos/{many-workers,worker-churn,worker-floods,worker-partitions,worker-processes}.test.ts',
    ];

// biome-ignore lint/style/noDefaultExport: vitest reads the default export.
export default defineConfig({
  test: {
    ...shared,
    // One Postgres for the whole run. The projects see what it provides because it belongs to the root.
    globalSetup: ['test/support/postgres-cluster.ts'],
    maxWorkers: 3,
    projects: [
      {
        test: {
          ...shared,
          name: 'apart',
          include: apart,
          // One more than there are cores: most of them wait for leases, graces and processes now and then.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, ...apart, ...longChaos],
          // One process runs many files and loads Carillon once.
          isolate: false,
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'alone',
          include: alone,
          exclude: longChaos,
          // They wait more than they work; the run of all chaos tests has them one by one.
          maxWorkers: process.env.TEST_CHAOS ? 1 : 2,
          // After all others, so that nothing else takes the cores.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
