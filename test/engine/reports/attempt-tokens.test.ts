import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AttemptTokens,
  claimFromToken,
  type TokenSubject,
} from '../../../src/engine/reports/attempt-tokens.ts';
import type { Store } from '../../../src/store/store.ts';

async function tokensOf(key = randomBytes(32)): Promise<AttemptTokens> {
  const store = { reports: { readTokenKey: () => Promise.resolve(key) } } as unknown as Store;
  const tokens = new AttemptTokens(store);
  await tokens.start();
  return tokens;
}

const subject: TokenSubject = { executionId: 7_205_759_403_792_793, attempt: 2, jobId: 7, term: 4 };

const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const subjects: fc.Arbitrary<TokenSubject> = fc.record({
  executionId: id,
  attempt: fc.integer({ min: 1, max: 2_147_483_647 }),
  jobId: id,
  term: fc.nat(),
});

describe('the token of an attempt', () => {
  it('says of which execution and attempt it is, and is true of that one', async () => {
    const tokens = await tokensOf();
    fc.assert(
      fc.property(subjects, (each) => {
        const token = tokens.create(each);
        expect(token).toMatch(/^cat_[A-Za-z0-9_-]{60}$/);
        const claim = claimFromToken(token);
        expect(claim).toMatchObject({ executionId: each.executionId, attempt: each.attempt });
        expect(claim && tokens.isTrue(claim, each)).toBe(true);
      }),
    );
  });

  it('is the same whichever instance makes it, and another one under another key', async () => {
    const key = randomBytes(32);
    const [one, two, other] = await Promise.all([tokensOf(key), tokensOf(key), tokensOf()]);
    expect(two.create(subject)).toBe(one.create(subject));
    expect(other.create(subject)).not.toBe(one.create(subject));
  });

  it.each<Partial<TokenSubject>>([
    { executionId: 1 },
    { attempt: 1 },
    { attempt: 3 },
    { jobId: 8 },
    { term: 5 },
  ])('is not true of an attempt with %o', async (other) => {
    const tokens = await tokensOf();
    const claim = claimFromToken(tokens.create(subject))!;
    expect(tokens.isTrue(claim, { ...subject, ...other })).toBe(false);
  });

  it('is not true with a single bit changed, wherever', async () => {
    const tokens = await tokensOf();
    const bytes = Buffer.from(tokens.create(subject).slice('cat_'.length), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const claim = claimFromToken(`cat_${changed.toString('base64url')}`);
      expect(claim !== undefined && tokens.isTrue(claim, { ...subject, ...claim }), `bit ${bit}`).toBe(false);
    }
  });

  it.each([
    '',
    'cat_',
    'x',
    `CAT_${'A'.repeat(60)}`,
    `cat_${'A'.repeat(59)}`,
    `cat_${'A'.repeat(61)}`,
    `cat_${'A'.repeat(60)}\n`,
    `cat_${'+'.repeat(60)}`,
    `cat_${'_'.repeat(60)}`,
  ])('is not %j', (text) => {
    expect(claimFromToken(text)).toBeUndefined();
  });
});
