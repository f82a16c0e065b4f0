import { expect, it } from 'vitest';
import { jobDefaults } from '../../src/domain/job.ts';

it('a job that says nothing skips overlaps, and runs the last fire time that was missed by more than a minute', () => {
  expect(jobDefaults).toMatchObject({
    overlap: 'SKIP',
    misfire: { policy: 'RUN_LAST', graceMs: 60_000, maxCatchUp: 100, catchUpWindowMs: 86_400_000 },
  });
});
