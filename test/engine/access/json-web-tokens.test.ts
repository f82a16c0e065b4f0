/** JWTs as credentials (reliability 5.4; RFC 8725, RFC 9068). */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CompactSign, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  grantsFromClaim,
  JsonWebTokens,
  type WebTokenRules,
} from '../../../src/engine/access/json-web-tokens.ts';
import { createKeySet } from '../../../src/engine/access/key-set.ts';
import { hasRepeatedKeys } from '../../../src/engine/access/repeated-keys.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { ManualClock } from '../../platform/manual-clock.ts';

type Keys = Awaited<ReturnType<typeof generateKeyPair>>;

const rules: WebTokenRules = {
  issuer: 'https://id.example',
  audience: 'carillon',
  algorithms: ['ES256', 'RS256'],
  type: 'at+jwt',
  toleranceMs: 30_000,
  claim: 'carillon',
};

let keys: Keys;
let others: Keys;
let wider: Keys;
let rsa: Keys;
let jwks: { keys: object[] };

beforeAll(async () => {
  keys = await generateKeyPair('ES256', { extractable: true });
  others = await generateKeyPair('ES256', { extractable: true });
  wider = await generateKeyPair('ES384', { extractable: true });
  rsa = await generateKeyPair('RS256', { extractable: true });
  jwks = {
    keys: [
      { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' },
      { ...(await exportJWK(wider.publicKey)), kid: 'k3', alg: 'ES384', use: 'sig' },
      { ...(await exportJWK(keys.publicKey)), kid: 'k4', alg: 'ES256', use: 'enc' },
    ],
  };
});

const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

const claims = (more: JWTPayload = {}): JWTPayload => ({
  iss: rules.issuer,
  aud: rules.audience,
  sub: 'alice',
  exp: nowSeconds() + 600,
  carillon: { billing: 'editor' },
  ...more,
});

const sign = (payload: JWTPayload, header: object = {}, key = keys.privateKey): Promise<string> =>
  new SignJWT(payload)
    .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt', ...header })
    .sign(key, { crit: { b64: false } } as never);

const tokensOf = (more: Partial<WebTokenRules> = {}): JsonWebTokens =>
  new JsonWebTokens({
    rules: { ...rules, ...more },
    keys: createKeySet({ keys: jwks as never }, { clock: systemClock, logger: silentLogger }),
    clock: systemClock,
    logger: silentLogger,
  });

describe('a JWT', () => {
  it('says who calls and what it may, and is known from then on', async () => {
    const tokens = tokensOf();
    const text = await sign(claims());
    expect(tokens.findKnown(text)).toBeUndefined();
    const principal = await tokens.find(text);
    expect(principal?.actor).toBe('alice (jwt)');
    expect(principal?.access.grants).toEqual([{ namespace: 'billing', role: 'EDITOR' }]);
    expect(tokens.findKnown(text)).toBe(principal);
  });

  it.each<[string, () => Promise<string>]>([
    ['another issuer', () => sign(claims({ iss: 'https://id.example.evil' }))],
    ['another audience', () => sign(claims({ aud: 'other' }))],
    ['no audience', () => sign(claims({ aud: undefined }))],
    ['no expiry', () => sign(claims({ exp: undefined }))],
    ['no subject', () => sign(claims({ sub: undefined }))],
    ['an expiry 61 s ago', () => sign(claims({ exp: nowSeconds() - 61 }))],
    ['a beginning in 61 s', () => sign(claims({ nbf: nowSeconds() + 61 }))],
    ['another type', () => sign(claims(), { typ: 'JWT' })],
    ['no type', () => sign(claims(), { typ: undefined })],
    ['the signature of another key', () => sign(claims(), {}, others.privateKey)],
    ['a key id that nobody has', () => sign(claims(), { kid: 'k2' })],
    ['more than 8 KB', () => sign(claims({ more: 'x'.repeat(9_000) }))],
    [
      'the algorithm none',
      async () =>
        `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${(await sign(claims())).split('.')[1]}.`,
    ],
    [
      'the public key as a shared secret',
      () =>
        new SignJWT(claims())
          .setProtectedHeader({ alg: 'HS256', kid: 'k1', typ: 'at+jwt' })
          .sign(new TextEncoder().encode(JSON.stringify(jwks.keys[0]))),
    ],
    [
      'a claim that is there twice',
      () =>
        new CompactSign(
          new TextEncoder().encode(JSON.stringify(claims()).replace('{', '{"carillon":{"*":"admin"},')),
        )
          .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' })
          .sign(keys.privateKey),
    ],
    [
      'an extension that nobody knows and that is critical',
      async () =>
        new CompactSign(new TextEncoder().encode(JSON.stringify(claims())))
          .setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt', crit: ['x'], x: 1 })
          .sign(keys.privateKey, { crit: { x: true } }),
    ],
    [
      'an algorithm that is not configured, of another key in the set',
      () => sign(claims(), { alg: 'ES384', kid: 'k3' }, wider.privateKey),
    ],
    [
      'an algorithm that is not of its key',
      () => sign(claims(), { alg: 'RS256', kid: 'k1' }, rsa.privateKey),
    ],
    ['a key that is for encryption', () => sign(claims(), { kid: 'k4' })],
    ['five parts, as of something encrypted', () => Promise.resolve('a.b.c.d.e')],
    ['no form at all', () => Promise.resolve('..')],
  ])('is refused with %s', async (_what, make) => {
    expect(await tokensOf().find(await make())).toBeUndefined();
  });

  it('is taken within the tolerance of the clocks', async () => {
    expect(await tokensOf().find(await sign(claims({ exp: nowSeconds() - 20 })))).toBeDefined();
  });

  it('brings its own key to no effect', async () => {
    const jwk = await exportJWK(others.publicKey);
    const text = await sign(claims(), { jwk, jku: 'http://127.0.0.1:9/', kid: 'k2' }, others.privateKey);
    expect(await tokensOf().find(text)).toBeUndefined();
  });

  it('tells when it expires', async () => {
    const clock = new ManualClock();
    const tokens = new JsonWebTokens({
      rules: { ...rules, toleranceMs: 0 },
      keys: createKeySet({ keys: jwks as never }, { clock, logger: silentLogger }),
      clock,
      logger: silentLogger,
    });
    const exp = Math.floor(clock.now().getTime() / 1_000) + 90;
    const principal = await tokens.find(await sign(claims({ exp })));
    let ends = 0;
    tokens.watch(principal!, () => ends++);
    await clock.advance(80_000);
    expect(ends).toBe(0);
    await clock.advance(11_000);
    expect(ends).toBe(1);
  });
});

describe('the claim', () => {
  it.each<[unknown, unknown]>([
    [
      { a: 'viewer', '*': 'ADMIN' },
      [
        ['a', 'VIEWER'],
        ['*', 'ADMIN'],
      ],
    ],
    [
      ['editor:a', 'worker:team:x', 'nothing'],
      [
        ['a', 'EDITOR'],
        ['team:x', 'WORKER'],
      ],
    ],
    [{ a: 'owner', '': 'admin' }, []],
    [undefined, []],
    ['admin:*', []],
    [[{ admin: '*' }, null, 7], []],
  ])('%j grants %j', (claim, expected) => {
    expect(grantsFromClaim(claim).map(({ namespace, role }) => [namespace, role])).toEqual(expected);
  });

  it.each<[string, boolean]>([
    ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', false],
    ['{"a":1,"b":2,"a":3}', true],
    ['{"a":1,"\\u0061":2}', true],
    ['{"a":"\\"a\\":","b":"a"}', false],
  ])('of %s has repeated keys: %s', (json, expected) => {
    expect(hasRepeatedKeys(json)).toBe(expected);
  });
});

describe('keys behind a URL', () => {
  let server: Server | undefined;
  let fetches = 0;
  let answer: () => { status: number; body: string };

  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));

  afterEach(() => {
    vi.useRealTimers();
    server?.close();
    server = undefined;
  });

  async function serveKeys(clock = new ManualClock()): Promise<JsonWebTokens> {
    fetches = 0;
    answer = () => ({ status: 200, body: JSON.stringify(jwks) });
    server = createServer((_request, response) => {
      fetches++;
      const { status, body } = answer();
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    });
    await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`);
    return new JsonWebTokens({
      rules,
      keys: createKeySet({ url }, { clock, logger: silentLogger }),
      clock: { ...systemClock, monotonicMs: () => clock.monotonicMs() },
      logger: silentLogger,
    });
  }

  it('are fetched once for 5,000 tokens with key ids that nobody has', async () => {
    const tokens = await serveKeys();
    // The key is looked for before the signature is, so that one signature does for all.
    const [, payload, signature] = (await sign(claims())).split('.');
    const texts = Array.from({ length: 5_000 }, (_, i) => {
      const header = { alg: 'ES256', kid: `random ${i}`, typ: 'at+jwt' };
      return `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${signature}`;
    });
    const found = await Promise.all(texts.map((text) => tokens.find(text)));
    expect(found.every((principal) => principal === undefined)).toBe(true);
    expect(fetches).toBe(1);
    // Nor one after the other, as calls come.
    for (const text of texts.slice(0, 100)) expect(await tokens.find(text)).toBeUndefined();
    expect(fetches).toBe(1);
    expect(await tokens.find(await sign(claims()))).toBeDefined();
    expect(fetches).toBe(1);
  });

  it('are fetched again for a key id that is new, once the last fetch is 30 seconds old', async () => {
    const clock = new ManualClock();
    const tokens = await serveKeys(clock);
    const text = await sign(claims(), { kid: 'k2' }, others.privateKey);
    expect(await tokens.find(text)).toBeUndefined();
    const next = { ...(await exportJWK(others.publicKey)), kid: 'k2', alg: 'ES256', use: 'sig' };
    answer = () => ({ status: 200, body: JSON.stringify({ keys: [next] }) });
    expect(await tokens.find(text)).toBeUndefined();
    vi.setSystemTime(Date.now() + 31_000);
    expect(await tokens.find(text)).toBeDefined();
    expect(fetches).toBe(2);
    expect(await tokens.find(await sign(claims()))).toBeUndefined();
  });

  it('go on for a day where who signs cannot be reached, and no longer', async () => {
    const clock = new ManualClock();
    const tokens = await serveKeys(clock);
    expect(await tokens.find(await sign(claims()))).toBeDefined();
    answer = () => ({ status: 503, body: '' });
    const later = async (ms: number) => {
      vi.setSystemTime(Date.now() + ms);
      await clock.advance(ms);
      return sign(claims());
    };
    expect(await tokens.find(await later(23 * 3_600_000))).toBeDefined();
    const text = await later(2 * 3_600_000);
    await expect(tokens.find(text)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(fetches).toBe(3);
  });

  it('cannot be had: the call may be tried again, and they are not asked for at each try', async () => {
    const clock = new ManualClock();
    const tokens = await serveKeys(clock);
    answer = () => ({ status: 503, body: '' });
    const text = await sign(claims());
    for (let n = 0; n < 5; n++)
      await expect(tokens.find(text)).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
    expect(fetches).toBe(1);
    answer = () => ({ status: 200, body: JSON.stringify(jwks) });
    await clock.advance(5_001);
    expect(await tokens.find(text)).toBeDefined();
  });

  it.each([
    ['a redirect', { status: 302, body: '' }],
    ['a set of a megabyte', { status: 200, body: `{"keys":[],"x":"${'x'.repeat(1_000_000)}"}` }],
    ['no JSON', { status: 200, body: '<html>' }],
  ])('are not taken from %s', async (_what, wrong) => {
    const tokens = await serveKeys();
    answer = () => wrong;
    await expect(tokens.find(await sign(claims()))).rejects.toMatchObject({ reason: 'UNAVAILABLE' });
  });
});
