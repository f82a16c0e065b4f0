/** Tokens in memory: what happens to them when the notification is lost or the database is away. */
import { afterEach, expect, it } from 'vitest';
import { StandingTokens } from '../../../src/engine/access/standing-tokens.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import type { StandingToken } from '../../../src/store/token-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';

const proof = { hash: Buffer.alloc(32, 1) };
const token: StandingToken = { id: 7, name: 'ci', grants: [{ namespace: 'a', role: 'VIEWER' }] };

let tokens: StandingTokens;

afterEach(() => tokens.stop());

/** Tokens over a table in memory; a notification arrives only by `notify`. */
async function startTokens() {
  const table = { stands: true, isAway: false, looks: 0 };
  const ask = async <T>(answer: () => T): Promise<T> => {
    if (table.isAway) throw new Error('connection refused');
    return answer();
  };
  let notify = (): void => undefined;
  const clock = new ManualClock();
  tokens = new StandingTokens({
    clock,
    logger: silentLogger,
    notifier: {
      on: (_topic, listener) => {
        notify = listener;
        return () => undefined;
      },
    },
    store: {
      db: undefined as never,
      tokens: {
        findStanding: () =>
          ask(() => {
            table.looks++;
            return table.stands ? token : undefined;
          }),
        listStanding: () => ask(() => new Set(table.stands ? [token.id] : [])),
        touch: () => ask(() => undefined),
      } as never,
    },
  });
  await tokens.start();
  return { clock, table, notify: () => notify() };
}

it('are looked up once for calls of one moment, and known from then on', async () => {
  const { table } = await startTokens();
  const found = await Promise.all(Array.from({ length: 20 }, () => tokens.find(proof)));
  expect(new Set(found).size).toBe(1);
  expect(table.looks).toBe(1);
  expect(tokens.findKnown(proof)).toBe(found[0]);
});

it('that are revoked end with their streams at the notification', async () => {
  const { clock, table, notify } = await startTokens();
  let ends = 0;
  tokens.watch((await tokens.find(proof))!, () => ends++);
  table.stands = false;
  notify();
  await clock.advance(0);
  expect([ends, tokens.findKnown(proof)]).toEqual([1, undefined]);
});

it('that are revoked end within a second when the notification is lost', async () => {
  const { clock, table } = await startTokens();
  let ends = 0;
  tokens.watch((await tokens.find(proof))!, () => ends++);
  table.stands = false;
  await clock.advance(1_000);
  expect([ends, tokens.findKnown(proof)]).toEqual([1, undefined]);
  await clock.advance(5_000);
  expect(ends).toBe(1);
});

it('are believed for five seconds while the database is away, and again when it is back', async () => {
  const { clock, table } = await startTokens();
  let ends = 0;
  const principal = await tokens.find(proof);
  tokens.watch(principal!, () => ends++);
  table.isAway = true;
  for (let n = 0; n < 4; n++) await clock.advance(1_000);
  expect(tokens.findKnown(proof)).toBe(principal);
  for (let n = 0; n < 2; n++) await clock.advance(1_000);
  expect(tokens.findKnown(proof)).toBeUndefined();
  await expect(tokens.find(proof)).rejects.toThrow('connection refused');
  // A stream shows what is in the database; it ends when that says so.
  expect(ends).toBe(0);
  table.isAway = false;
  expect(await tokens.find(proof)).toBe(principal);
  table.stands = false;
  for (let n = 0; n < 3; n++) await clock.advance(1_000);
  expect(ends).toBe(1);
});

it('tell no more who has called off', async () => {
  const { clock, table } = await startTokens();
  let ends = 0;
  const release = tokens.watch((await tokens.find(proof))!, () => ends++);
  release();
  table.stands = false;
  await clock.advance(1_000);
  expect(ends).toBe(0);
});
