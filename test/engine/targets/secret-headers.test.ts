/** What callees are sent in headers and metadata that are secrets, over real connections; and that nothing is sent without. */
import { createSecretKey } from 'node:crypto';
import { type IncomingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { describe, expect, it } from 'vitest';
import { type FindSecretText, SecretText } from '../../../src/engine/secrets/secret-texts.ts';
import type { DeliveryResult } from '../../../src/engine/targets/target.ts';
import { deliverTo as deliverToGrpc, grpcTarget } from './grpc/attempt.ts';
import { answerHeaders, startGrpcCallee, startHttp2Callee } from './grpc/callee.ts';
import { createClient, deliverTo, httpTarget, recordedContext, sampleDelivery } from './http/attempt.ts';
import { startCallee } from './http/callee.ts';

/** Finds these texts, by the names of their secrets in the namespace of the sample. */
const having =
  (texts: Readonly<Record<string, string>>): FindSecretText =>
  async ({ namespace, name }) => {
    const text = namespace === sampleDelivery.jobKey.namespace ? texts[name] : undefined;
    return text === undefined ? { missing: 'secret' } : { text: new SecretText(text) };
  };

/** A callee, and attempts at it that send these secrets. */
type Callee = {
  deliver(secrets: Readonly<Record<string, string>>, find?: FindSecretText): Promise<DeliveryResult>;
  /** What it got under a name, for each request. */
  got(name: string): readonly unknown[];
};

const startHttp = async (): Promise<Callee> => {
  const callee = await startCallee((_, response) => response.writeHead(204).end());
  return {
    deliver: async (secretHeaders, findSecretText) =>
      (await deliverTo(httpTarget(callee.origin, { secretHeaders }), { findSecretText })).result,
    got: (name) => callee.received.map(({ headers }) => headers[name]),
  };
};

const startGrpc = async (): Promise<Callee> => {
  const callee = await startGrpcCallee((call) => call.end());
  return {
    deliver: async (secretMetadata, findSecretText) =>
      (await deliverToGrpc(grpcTarget(callee.address, { secretMetadata }), { findSecretText })).result,
    got: (name) => callee.calls.map(({ metadata }) => metadata.get(name)[0]),
  };
};

const gone = {
  reason: 'INVALID_JOB',
  message: 'the secret of authorization "crm" does not exist; put it, or name another',
  retryable: false,
};

describe.each<[string, () => Promise<Callee>]>([
  ['HTTP', startHttp],
  ['gRPC', startGrpc],
])('a %s callee', (_kind, start) => {
  it('gets the values of the secrets that its target names', async () => {
    const callee = await start();
    const long = `"\\ {{ attempt }}${'k'.repeat(8_000)}`;
    const secrets = { authorization: 'crm', 'x-key': 'key', 'x-again': 'crm' };
    const { outcome } = await callee.deliver(secrets, having({ crm: 'Bearer marked', key: long }));
    expect(outcome).toBe('SUCCEEDED');
    expect(callee.got('authorization')).toEqual(['Bearer marked']);
    expect(callee.got('x-key')).toEqual([long]);
    expect(callee.got('x-again')).toEqual(['Bearer marked']);
  });

  it.each<[string, FindSecretText | undefined, object]>([
    ['when one of its secrets is gone', having({ other: 'x' }), gone],
    [
      'by a client that was given no secrets',
      undefined,
      { ...gone, message: expect.stringContaining('does not exist') },
    ],
    [
      'when the instance has not the key of its secret',
      async () => ({ missing: 'key' }),
      {
        reason: 'TARGET_ERROR',
        message: expect.stringContaining('cannot be decrypted here; CARILLON_SECRET_KEY has not its key'),
        retryable: true,
      },
    ],
    [
      'when the database is away',
      () => Promise.reject(new Error('password=hunter2')),
      {
        reason: 'TARGET_ERROR',
        message: 'the secret of x-other could not be read from the database',
        retryable: true,
      },
    ],
  ])('is not called %s', async (_, find, end) => {
    const callee = await start();
    const result = await callee.deliver({ 'x-other': 'other', authorization: 'crm' }, find);
    expect(result).toEqual({ outcome: 'FAILED', ...end });
    expect(callee.got('authorization')).toEqual([]);
  });
});

describe('an HTTP request', () => {
  it('has the secret beside what a template and a signature make, and in place of a default', async () => {
    const callee = await startCallee((_, response) => response.writeHead(204).end());
    const target = httpTarget(callee.origin, {
      template: true,
      headers: { 'X-Attempt': '{{ attempt }}' },
      secretHeaders: { 'X-Api-Key': 'crm', 'User-Agent': 'agent' },
      signingSecretName: 'hook',
    });
    const { result } = await deliverTo(target, {
      findSecretText: having({ crm: '{{ attempt }}', agent: 'mine/1' }),
      findSigningKeys: async () => ({ keys: [createSecretKey(Buffer.alloc(32, 1))] }),
    });
    expect(result.outcome).toBe('SUCCEEDED');
    const { headers, rawHeaders } = callee.received[0]!;
    expect(headers).toMatchObject({ 'x-attempt': '2', 'x-api-key': '{{ attempt }}', 'user-agent': 'mine/1' });
    expect(headers['webhook-signature']).toMatch(/^v1,/);
    expect(rawHeaders).toContain('X-Api-Key');
  });

  it('is given up at once when the attempt is aborted while its secret is looked for', async () => {
    const context = recordedContext();
    const client = createClient({ findSecretText: () => new Promise(() => undefined) });
    const target = httpTarget('http://127.0.0.1:9', { secretHeaders: { 'X-Key': 'crm' } });
    const end = client.deliver(target, sampleDelivery, context);
    context.abort();
    expect(await end).toMatchObject({ outcome: 'FAILED', message: 'aborted' });
  });
});

it('keeps secret metadata out of the tables that compress headers', async () => {
  let received: IncomingHttpHeaders | undefined;
  const callee = await startHttp2Callee((stream, headers) => {
    received = headers;
    stream.respond(answerHeaders, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end();
  });
  const target = grpcTarget(callee.address, {
    metadata: { 'x-plain': 'a' },
    secretMetadata: { authorization: 'crm' },
  });
  const { result } = await deliverToGrpc(target, { findSecretText: having({ crm: 'Bearer marked' }) });
  expect(result.outcome).toBe('SUCCEEDED');
  expect(received).toMatchObject({ authorization: 'Bearer marked', 'x-plain': 'a' });
  expect(Reflect.get(received!, sensitiveHeaders)).toEqual(['authorization']);
});
