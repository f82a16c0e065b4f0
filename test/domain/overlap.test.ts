import { describe, expect, it } from 'vitest';
import type { OverlapPolicy } from '../../src/domain/job.ts';
import { maxBuffered, type Occupancy, OverlapRule } from '../../src/domain/overlap.ts';

const idle: Occupancy = { bufferedCount: 0 };
const busy: Occupancy = { openExecutionId: 7, bufferedCount: 0 };
const waiting = (bufferedCount: number): Occupancy => ({ openExecutionId: 7, bufferedCount });

/** What becomes of runs that are decided one after the other, in short. */
const decide = (policy: OverlapPolicy, occupancy: Occupancy, runs: number): string[] => {
  const rule = new OverlapRule(occupancy);
  return Array.from({ length: runs }, (_, i) => {
    const decision = rule.decide(policy, `run ${i + 1}`);
    if (decision.kind === 'SKIP') return `SKIP: ${decision.message}`;
    return decision.kind === 'BUFFER' && decision.cancelsOthers ? 'BUFFER, cancels' : decision.kind;
  });
};

describe('a run while executions of its job are open', () => {
  it.each<[OverlapPolicy, string, Occupancy, string[]]>([
    ['SKIP', 'an idle job', idle, ['START', 'SKIP: run 1 was still open']],
    ['SKIP', 'a busy job', busy, ['SKIP: execution 7 was still open']],
    ['BUFFER_ONE', 'an idle job', idle, ['START', 'BUFFER', 'SKIP: run 1 was still open and another waited']],
    ['BUFFER_ONE', 'a busy job', busy, ['BUFFER', 'SKIP: execution 7 was still open and another waited']],
    ['BUFFER_ONE', 'a full buffer', waiting(1), ['SKIP: execution 7 was still open and another waited']],
    ['BUFFER_ALL', 'an idle job', idle, ['START', 'BUFFER', 'BUFFER']],
    [
      'BUFFER_ALL',
      'one place left',
      waiting(maxBuffered - 1),
      ['BUFFER', 'SKIP: execution 7 was still open and 1000 others waited'],
    ],
    ['CANCEL_OTHER', 'an idle job', idle, ['START', 'BUFFER, cancels']],
    ['CANCEL_OTHER', 'a busy job', busy, ['BUFFER, cancels', 'BUFFER, cancels']],
    ['ALLOW', 'a busy job', waiting(maxBuffered), ['START', 'START']],
  ])('is decided by %s for %s', (policy, _, occupancy, expected) => {
    expect(decide(policy, occupancy, expected.length)).toEqual(expected);
  });

  it('may wait in a larger buffer where the caller says so', () => {
    expect(new OverlapRule(waiting(maxBuffered)).decide('BUFFER_ALL', 'a', maxBuffered + 1).kind).toBe(
      'BUFFER',
    );
  });
});
