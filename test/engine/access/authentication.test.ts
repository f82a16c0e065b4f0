import { describe, expect, it } from 'vitest';
import { unrestricted } from '../../../src/domain/access.ts';
import { Authentication } from '../../../src/engine/access/authentication.ts';
import { GuessLimit } from '../../../src/engine/access/guess-limit.ts';
import type { Principal } from '../../../src/engine/operations.ts';
import { callerNetworkOfPeer } from '../../../src/platform/ip-address.ts';
import type { TokenProof } from '../../../src/store/token-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';

const somebody: Principal = { actor: 'somebody', access: unrestricted };
const right = `carillon_${'r'.repeat(43)}`;
const wrong = `carillon_${'w'.repeat(43)}`;

/** An authentication to which one token and one certificate are right; `looks` is how often it asked the database. */
function authenticating() {
  const clock = new ManualClock();
  const seen = { looks: 0, known: false };
  const isRight = (proof: TokenProof): boolean =>
    'hash' in proof
      ? proof.hash.toString('hex').startsWith(rightHash)
      : proof.certificateNames.includes('ci');
  const authentication = new Authentication({
    tokens: {
      findKnown: (proof) => (seen.known && isRight(proof) ? somebody : undefined),
      find: async (proof) => {
        seen.looks++;
        return isRight(proof) ? somebody : undefined;
      },
      watch: () => () => undefined,
    },
    webTokens: undefined,
    guesses: new GuessLimit(clock),
  });
  const show = async (authorization: string | undefined, peer = '192.0.2.1:1000', names: string[] = []) =>
    authentication.authenticate({ authorization, certificateNames: names, peer });
  return { clock, seen, show };
}

/** How the SHA-256 of the right token begins. */
const rightHash = await crypto.subtle
  .digest('SHA-256', new TextEncoder().encode(right))
  .then((hash) => Buffer.from(hash).toString('hex'));

const refusedFor = (reason: string) => ({ reason });

describe('credentials', () => {
  it.each([`Bearer ${right}`, `bearer ${right}`, `BEARER  ${right}`])('are taken as %s', async (header) => {
    expect(await authenticating().show(header)).toBe(somebody);
  });

  it.each([
    '',
    right,
    `Basic ${right}`,
    `Bearer ${right} more`,
    'Bearer',
    `Bearer ${right}x`,
    'Bearer a.b.c',
  ])('are refused as %j', async (header) => {
    await expect(authenticating().show(header)).rejects.toMatchObject(refusedFor('UNAUTHENTICATED'));
  });

  it('are the certificate where there is no token, and the token where there is one', async () => {
    const { show } = authenticating();
    expect(await show(undefined, undefined, ['other', 'ci'])).toBe(somebody);
    await expect(show(`Bearer ${wrong}`, undefined, ['ci'])).rejects.toMatchObject(
      refusedFor('UNAUTHENTICATED'),
    );
    await expect(show(undefined)).rejects.toMatchObject({
      message: 'no credentials; send `authorization: Bearer <token>`',
    });
  });

  it('are not looked up any more once an address has shown 20 wrong ones, but for a while only', async () => {
    const { clock, seen, show } = authenticating();
    const another = (n: number): string => `Bearer carillon_${String(n).padStart(43, 'w')}`;
    for (let n = 0; n < 20; n++) {
      await expect(show(another(n))).rejects.toMatchObject(refusedFor('UNAUTHENTICATED'));
    }
    expect(seen.looks).toBe(20);
    await expect(show(another(20))).rejects.toMatchObject({
      reason: 'QUOTA_EXCEEDED',
      details: { retryAfterMs: 3_000 },
    });
    // Not even the right one, as long as it is not known: whoever guesses would learn of it.
    await expect(show(`Bearer ${right}`)).rejects.toMatchObject(refusedFor('QUOTA_EXCEEDED'));
    expect(seen.looks).toBe(20);
    expect(await show(`Bearer ${right}`, '192.0.2.2:1000')).toBe(somebody);
    seen.known = true;
    expect(await show(`Bearer ${right}`)).toBe(somebody);
    seen.known = false;
    await clock.advance(3_000);
    expect(await show(`Bearer ${right}`)).toBe(somebody);
  });
});

describe('a wrong credential that is shown again and again', () => {
  it('counts once in ten seconds, and is not looked up: a neighbour with an old token locks nobody out', async () => {
    const { clock, seen, show } = authenticating();
    for (let n = 0; n < 500; n++) {
      await expect(show(`Bearer ${wrong}`)).rejects.toMatchObject(refusedFor('UNAUTHENTICATED'));
    }
    expect(seen.looks).toBe(1);
    expect(await show(`Bearer ${right}`)).toBe(somebody);
    await clock.advance(10_001);
    await expect(show(`Bearer ${wrong}`)).rejects.toMatchObject(refusedFor('UNAUTHENTICATED'));
    expect(seen.looks).toBe(3);
  });

  it('is looked up each time where it is a certificate: its token may be made meanwhile', async () => {
    const { seen, show } = authenticating();
    for (let n = 0; n < 50; n++) {
      await expect(show(undefined, '192.0.2.1:1', ['other'])).rejects.toMatchObject(
        refusedFor('UNAUTHENTICATED'),
      );
    }
    expect(seen.looks).toBe(50);
  });
});

describe('who guesses is counted by address', () => {
  it.each([
    ['192.0.2.1:50000', '192.0.2.1/32'],
    ['192.0.2.1', '192.0.2.1/32'],
    ['::ffff:192.0.2.1:50000', '192.0.2.1/32'],
    ['[2001:db8:1:2:3:4:5:6]:50000', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['unknown', 'unknown'],
  ])('%s as %s', (peer, block) => {
    expect(callerNetworkOfPeer(peer)).toBe(block);
  });

  it('forgets the oldest of more addresses than it remembers', () => {
    const clock = new ManualClock();
    const guesses = new GuessLimit(clock);
    for (let n = 0; n < 30; n++) guesses.noteFailure('192.0.2.1:1');
    expect(guesses.waitMs('192.0.2.1:2')).toBeGreaterThan(0);
    for (let n = 0; n < 10_000; n++) guesses.noteFailure(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}:1`);
    expect(guesses.waitMs('192.0.2.1:2')).toBe(0);
  });
});
