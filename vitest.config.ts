import { defineConfig } from 'vitest/config';

/** What every project of the test run shares. */
const shared = {
  pool: 'forks',
  testTimeout: 30_000,
  hookTimeout: 60_000,
} as const;

/** Files that count milliseconds, kill leaders or need the cores to themselves: never two at once. */
const alone = [
  'test/chaos/{database-crash,late-claim,leader-crash,timing-crash}.test.ts',
  'test/e2e/{readme,two-instances}.test.ts',
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
          name: 'parallel',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, ...longChaos],
          // One more than there are cores: most of them wait for leases, graces and processes now and then.
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
          fileParallelism: false,
          // After the parallel files, so that nothing else takes the cores.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
