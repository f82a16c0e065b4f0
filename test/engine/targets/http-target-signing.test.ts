import { createSecretKey } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import type { HttpTarget } from '../../../src/domain/job.ts';
import type { FindSigningKeys } from '../../../src/engine/secrets/signing-keys.ts';
import {
  createClient,
  deliverTo,
  HandClock,
  httpTarget,
  recordedContext,
  sampleDelivery,
} from './http/attempt.ts';
import { type Received, startCallee } from './http/callee.ts';

const [key, before, other] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer];

const finding =
  (...keys: Buffer[]): FindSigningKeys =>
  async () => ({ keys: keys.map((bytes) => createSecretKey(bytes)) });

/** What a callee that holds this key makes of a request; throws when it does not believe it. */
const verify = (received: Received, held: Buffer): unknown =>
  new Webhook(held, { format: 'raw' }).verify(received.body, received.headers as Record<string, string>);

/** Delivers a signed sample and returns what came over the wire. */
async function signed(findSigningKeys: FindSigningKeys, rest: Partial<HttpTarget> = {}): Promise<Received> {
  const callee = await startCallee((_, response) => response.writeHead(204).end());
  const target = httpTarget(callee.origin, { signingSecretName: 'hook', ...rest });
  expect((await deliverTo(target, { findSigningKeys })).result.outcome).toBe('SUCCEEDED');
  return callee.received[0]!;
}

describe('a signed request', () => {
  it('is believed by whoever holds the secret, and by nobody else', async () => {
    const received = await signed(finding(key));
    expect(verify(received, key)).toMatchObject({ execution_id: sampleDelivery.executionId });
    expect(() => verify(received, other)).toThrow('No matching signature');
    expect(() => verify({ ...received, body: received.body.replace('all', 'ALL') }, key)).toThrow();
  });

  it('is believed by the secret as it is put', async () => {
    const secret = `whsec_${key.toString('base64')}`;
    const { body, headers } = await signed(finding(key));
    expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toBeTypeOf('object');
  });

  it('is believed by callees with the new and with the old secret while it is changed over', async () => {
    const received = await signed(finding(key, before));
    expect(received.headers['webhook-signature']).toMatch(/^v1,[\w+/]{43}= v1,[\w+/]{43}=$/);
    verify(received, key);
    verify(received, before);
    expect(() => verify(received, other)).toThrow('No matching signature');
  });

  it.each<[string, Partial<HttpTarget>]>([
    ['of a text that is no ASCII', { body: 'Zoë 😀 \ud800', headers: { 'content-type': 'text/plain' } }],
    ['of an empty text', { body: '' }],
    ['that a template makes', { body: '{"t":"{{ parameters.text }}"}', template: true }],
    ['that is absent', { method: 'GET' }],
  ])('stands for a body %s', async (_, rest) => {
    const received = await signed(finding(key), rest);
    new Webhook(key, { format: 'raw' }).verify(received.body, received.headers as Record<string, string>, {
      jsonParse: false,
    });
  });

  it('has the execution id over all attempts, and the time of each', async () => {
    const callee = await startCallee((_, response) => response.writeHead(204).end());
    const target = httpTarget(callee.origin, { signingSecretName: 'hook' });
    for (const [attempt, at] of [
      [1, '2026-03-29T01:30:00.999Z'],
      [2, '2026-03-29T01:40:00.000Z'],
    ] as const) {
      const client = createClient({ findSigningKeys: finding(key), clock: new HandClock(at) });
      await client.deliver(target, { ...sampleDelivery, attempt }, recordedContext());
    }
    expect(
      callee.received.map(({ headers }) => [headers['webhook-id'], headers['webhook-timestamp']]),
    ).toEqual([
      ['7205759403792793', String(Date.parse('2026-03-29T01:30:00Z') / 1_000)],
      ['7205759403792793', String(Date.parse('2026-03-29T01:40:00Z') / 1_000)],
    ]);
    // Months old by the clock of the callee.
    expect(() => verify(callee.received[0]!, key)).toThrow(/too (?:old|new)/);
  });

  it('asks for the secret of the job’s namespace', async () => {
    const asked: unknown[] = [];
    await signed(async (name) => {
      asked.push(name);
      return { keys: [createSecretKey(key)] };
    });
    expect(asked).toEqual([{ namespace: 'default', name: 'hook' }]);
  });
});

it('carries no signature where the target names no secret', async () => {
  const { headers } = await signed(finding(key), { signingSecretName: undefined });
  expect(Object.keys(headers).filter((name) => name.startsWith('webhook-'))).toEqual([]);
});

describe('a request that cannot be signed', () => {
  it.each<[string, FindSigningKeys, object]>([
    [
      'because its secret is gone',
      async () => ({ missing: 'secret' }),
      {
        reason: 'INVALID_JOB',
        message: 'the signing secret "hook" does not exist; put it, or name another',
        retryable: false,
      },
    ],
    [
      'because the instance has not the key of its secret',
      async () => ({ missing: 'key' }),
      {
        reason: 'TARGET_ERROR',
        message: 'the signing secret "hook" cannot be decrypted here; CARILLON_SECRET_KEY has not its key',
        retryable: true,
      },
    ],
    [
      'because the database is away',
      () => Promise.reject(new Error('password=hunter2')),
      {
        reason: 'TARGET_ERROR',
        message: 'the signing secret could not be read from the database',
        retryable: true,
      },
    ],
  ])('%s is not sent', async (_, findSigningKeys, end) => {
    const callee = await startCallee((_request, response) => response.end());
    const target = httpTarget(callee.origin, { signingSecretName: 'hook' });
    const { result } = await deliverTo(target, { findSigningKeys });
    expect(result).toEqual({ outcome: 'FAILED', ...end });
    expect(callee.accepted()).toBe(0);
  });

  it('is given up at once when the attempt is aborted', async () => {
    const context = recordedContext();
    const client = createClient({ findSigningKeys: () => new Promise(() => undefined) });
    const target = httpTarget('http://127.0.0.1:9', { signingSecretName: 'hook' });
    const end = client.deliver(target, sampleDelivery, context);
    context.abort();
    expect(await end).toMatchObject({ outcome: 'FAILED', message: 'aborted' });
  });
});

it('fills in the template of a request', async () => {
  const callee = await startCallee((_, response) => response.writeHead(204).end());
  const target = httpTarget(`${callee.origin}/{{ job.name }}?a={{ attempt }}`, {
    template: true,
    headers: { 'X-Job': '{{ job.group }}' },
    body: '{"day":{{ parameters.list.day }},"deep":{{ parameters.object.depth }}}',
  });
  expect((await deliverTo(target)).result.outcome).toBe('SUCCEEDED');
  expect(callee.received[0]).toMatchObject({
    path: '/n%C3%A4chtlich?a=2',
    headers: { 'x-job': 'reports', 'content-type': 'application/json' },
    body: '{"day":"monday","deep":3}',
  });
});

it('does not send a template whose value breaks a header', async () => {
  const callee = await startCallee((_, response) => response.end());
  const target = httpTarget(callee.origin, {
    template: true,
    headers: { 'X-Text': '{{ parameters.text }}' },
  });
  const delivery = { ...sampleDelivery, parameters: { text: 'a\r\nX-Admin: 1' } };
  expect(await createClient().deliver(target, delivery, recordedContext())).toEqual({
    outcome: 'FAILED',
    reason: 'INVALID_JOB',
    message:
      'target cannot be called: target.headers["X-Text"]: a parameter makes it more than one line without control characters',
    retryable: false,
  });
  expect(callee.accepted()).toBe(0);
});
