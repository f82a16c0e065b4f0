import { expect, it } from 'vitest';
import { SpentIntake } from '../../src/engine/spent-intake.ts';
import type { Tx } from '../../src/store/database.ts';
import type { Grant } from '../../src/store/intake-store.ts';
import type { Store } from '../../src/store/store.ts';
import { ManualClock } from '../platform/manual-clock.ts';

const tx = {} as Tx;

/** The intake over a database that answers so. */
function intakeOf(grant: Omit<Grant, 'perMinute'>) {
  const clock = new ManualClock();
  const bookExecutions = async () => new Map([['shop', { ...grant, perMinute: 60 }]]);
  const intake = new SpentIntake({ store: { intake: { bookExecutions } } as unknown as Store, clock });
  const book = () => intake.bookExecutions(tx, [{ namespace: 'shop', count: 1 }]);
  return { clock, intake, book };
}

it('remembers an empty bucket until it has room for one more, and says when that is', async () => {
  const { clock, intake, book } = intakeOf({ granted: 0, waitMs: 900 });
  expect(intake.refusalOf('shop')).toBeUndefined();
  await book();
  await clock.advance(899);
  expect(intake.refusalOf('shop')).toMatchObject({
    reason: 'QUOTA_EXCEEDED',
    message: 'calls may make 60 executions in a minute in namespace shop; try later',
    details: { quota: { subject: 'namespace shop' }, retryAfterMs: 1_000 },
  });
  expect(intake.refusalOf('other')).toBeUndefined();
  await clock.advance(1);
  expect(intake.refusalOf('shop')).toBeUndefined();
});

it('believes a refusal for a second at most, so that a limit that is raised is soon felt', async () => {
  const { clock, intake, book } = intakeOf({ granted: 0, waitMs: 30_000 });
  await book();
  await clock.advance(999);
  expect(intake.refusalOf('shop')?.details.retryAfterMs).toBe(29_001);
  await clock.advance(1);
  expect(intake.refusalOf('shop')).toBeUndefined();
});

it('remembers nothing of a bucket that granted some: the transaction that took them may fail', async () => {
  const { intake, book } = intakeOf({ granted: 1, waitMs: 900 });
  await book();
  expect(intake.refusalOf('shop')).toBeUndefined();
});
