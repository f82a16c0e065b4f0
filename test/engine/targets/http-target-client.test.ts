import { getEventListeners } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { HttpTarget } from '../../../src/domain/job.ts';
import { createClient, deliverTo, httpTarget, recordedContext, sampleDelivery } from './http/attempt.ts';
import { startCallee, unusedPort } from './http/callee.ts';

const succeeded = { outcome: 'SUCCEEDED', message: '', retryable: false };

/** A callee that answers with this status, these headers and this body. */
const answering = (status: number, headers: Record<string, string | string[]> = {}, body?: string) =>
  startCallee((_request, response) => response.writeHead(status, headers).end(body));

describe('the request', () => {
  it('is a POST of the attempt as JSON with the headers that say the same in short', async () => {
    const callee = await answering(204);
    const { result, lines } = await deliverTo(httpTarget(`${callee.origin}/hook/a%20b?x=1&y=ä#part`));

    expect(result).toEqual(succeeded);
    expect(lines).toEqual([]);
    const [request] = callee.received;
    expect(request).toMatchObject({ method: 'POST', path: '/hook/a%20b?x=1&y=%C3%A4' });
    expect(JSON.parse(request?.body ?? '')).toEqual({
      execution_id: 7_205_759_403_792_793,
      attempt: 2,
      attempt_token: 'cat_sample',
      job_id: 7_205_759_403_792_001,
      job_key: { namespace: 'default', group: 'reports', name: 'nächtlich' },
      fire_time: '2026-03-29T01:30:00.250Z',
      cause: 'SCHEDULE',
      term: 4,
      parameters: { text: 'all', object: { depth: 3 }, list: [{ name: 'day', value: 'monday' }] },
    });
    expect(request?.headers).toMatchObject({
      host: `127.0.0.1:${callee.port}`,
      'idempotency-key': '7205759403792793',
      'carillon-execution-id': '7205759403792793',
      'carillon-attempt': '2',
      'carillon-attempt-token': 'cat_sample',
      'carillon-fire-time': '2026-03-29T01:30:00.250Z',
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(request?.body ?? '')),
      'user-agent': 'carillon/1.2.3',
      'accept-encoding': 'identity',
    });
    expect(request?.headers.accept).toContain('application/x-ndjson');
  });

  it('carries an empty object where there are no parameters', async () => {
    const callee = await answering(200);
    const delivery = { ...sampleDelivery, parameters: {} };
    await createClient().deliver(httpTarget(callee.origin), delivery, recordedContext());
    expect(JSON.parse(callee.received[0]?.body ?? '').parameters).toEqual({});
    expect(callee.received[0]?.path).toBe('/');
  });

  it.each(['PUT', 'PATCH', 'DELETE'] as const)('is sent with a body by %s', async (method) => {
    const callee = await answering(200);
    expect((await deliverTo(httpTarget(callee.origin, { method }))).result).toEqual(succeeded);
    expect(callee.received[0]).toMatchObject({ method, headers: { 'content-type': 'application/json' } });
    expect(JSON.parse(callee.received[0]?.body ?? '').attempt).toBe(2);
  });

  it.each(['GET', 'HEAD'] as const)('is sent without a body by %s', async (method) => {
    const callee = await answering(200, { 'content-type': 'application/json' }, '{"a":1}');
    const { result } = await deliverTo(httpTarget(callee.origin, { method }));
    expect(result).toEqual(method === 'GET' ? { ...succeeded, result: { a: 1 } } : succeeded);
    expect(callee.received[0]).toMatchObject({ method, body: '' });
    expect(callee.received[0]?.headers).not.toHaveProperty('content-type');
    expect(callee.received[0]?.headers).not.toHaveProperty('content-length');
    expect(callee.received[0]?.headers['carillon-attempt']).toBe('2');
  });

  it.each(['', 'fixed ü'])('carries the fixed body %j as it is', async (body) => {
    const callee = await answering(200);
    await deliverTo(httpTarget(callee.origin, { body, headers: { 'content-TYPE': 'text/plain' } }));
    expect(callee.received[0]?.body).toBe(body);
    expect(callee.received[0]?.rawHeaders.filter((name) => /^content-type$/i.test(name))).toEqual([
      'content-TYPE',
    ]);
    expect(callee.received[0]?.headers['content-type']).toBe('text/plain');
  });

  it('adds the user’s headers, text beyond ASCII as UTF-8; theirs stand in for what it says of itself', async () => {
    const callee = await answering(200);
    const headers = {
      Authorization: 'Bearer x',
      'X-Name': 'Zoë',
      accept: 'text/html',
      'USER-AGENT': 'other',
    };
    await deliverTo(httpTarget(callee.origin, { headers }));
    const received = callee.received[0]?.headers;
    expect(received?.authorization).toBe('Bearer x');
    expect(Buffer.from(received?.['x-name'] as string, 'latin1').toString()).toBe('Zoë');
    expect(received?.['user-agent']).toBe('other');
    expect(received?.accept).toBe('text/html');
  });

  it.each<[string, Partial<HttpTarget>]>([
    ['a line break in a value', { headers: { 'X-A': 'a\r\nHost: evil' } }],
    ['a line break in a name', { headers: { 'X-A: b\r\nX-B': 'c' } }],
    ['Transfer-Encoding', { headers: { 'Transfer-Encoding': 'chunked' } }],
    ['Content-Length', { headers: { 'content-length': '0' } }],
    ['Host', { headers: { host: 'evil.example' } }],
    ['Idempotency-Key', { headers: { 'idempotency-key': '1' } }],
    ['a webhook signature', { headers: { 'webhook-signature': 'v1,x' } }],
    ['a method that is none', { method: 'POST / HTTP/1.1\r\nX: ' as 'POST' }],
    ['another scheme', { url: 'file:///etc/passwd' }],
    ['a line break in the URL', { url: 'http://127.0.0.1/\r\nX: 1' }],
    ['no headers at all', { headers: undefined as never }],
  ])('is never sent for a stored target with %s', async (_what, damage) => {
    const callee = await answering(200);
    const { result } = await deliverTo(httpTarget(callee.origin, damage));
    expect(result).toMatchObject({ outcome: 'FAILED', reason: 'INVALID_JOB', retryable: false });
    expect(result.message).toMatch(/^target cannot be called: [ -~]+$/);
    expect(callee.accepted()).toBe(0);
  });

  it('goes to the callee whatever proxy the environment names', async () => {
    const port = await unusedPort();
    const names = ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
    const before = names.map((name) => process.env[name]);
    for (const name of names)
      process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : `http://127.0.0.1:${port}`;
    try {
      const callee = await answering(200);
      expect((await deliverTo(httpTarget(callee.origin))).result).toEqual(succeeded);
    } finally {
      names.forEach((name, i) => {
        if (before[i] === undefined) delete process.env[name];
        else process.env[name] = before[i];
      });
    }
  });
});

describe('the connection', () => {
  it('fails by a refused connection, retryable', async () => {
    const { result } = await deliverTo(httpTarget(`http://127.0.0.1:${await unusedPort()}`));
    expect(result).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message: 'connection refused',
      retryable: true,
    });
  });

  it('fails by a refused connection on every address of a name', async () => {
    const { result } = await deliverTo(httpTarget(`http://localhost:${await unusedPort()}`));
    expect(result.message).toBe('connection refused');
  });

  it('fails by a name that does not exist, retryable', async () => {
    const lookup = (_name: string, _options: object, callback: (error: Error) => void): void =>
      callback(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    const { result } = await deliverTo(httpTarget('http://nowhere.invalid/'), { lookup: lookup as never });
    expect(result).toMatchObject({ message: 'name not found', retryable: true });
  });

  it('resolves names by the lookup it was given', async () => {
    const callee = await answering(200);
    const asked: string[] = [];
    const lookup = (
      name: string,
      options: { all?: boolean },
      callback: (...result: unknown[]) => void,
    ): void => {
      asked.push(name);
      if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
      else callback(null, '127.0.0.1', 4);
    };
    const target = httpTarget(`http://callee.internal:${callee.port}/`);
    expect((await deliverTo(target, { lookup: lookup as never })).result).toEqual(succeeded);
    expect(asked).toEqual(['callee.internal']);
    expect(callee.received[0]?.headers.host).toBe(`callee.internal:${callee.port}`);
  });

  it('is not taken by an attempt that was given up before it began', async () => {
    const callee = await answering(200);
    const context = recordedContext();
    context.abort();
    expect(await createClient().deliver(httpTarget(callee.origin), sampleDelivery, context)).toEqual({
      outcome: 'FAILED',
      message: 'aborted',
      retryable: false,
    });
    await new Promise<void>((resolve) => {
      const probe = connect(callee.port, '127.0.0.1', () => probe.end(resolve));
    });
    expect(callee.received).toEqual([]);
  });

  it('leaves nothing behind at the signal, however the attempt ends', async () => {
    const callee = await startCallee((request, response) => {
      if (request.path === '/reset') response.destroy();
      else response.writeHead(request.path === '/fail' ? 500 : 200).end('text');
    });
    const client = createClient();
    const context = recordedContext();
    for (const path of ['/', '/fail', '/reset']) {
      await client.deliver(httpTarget(callee.origin + path), sampleDelivery, context);
    }
    expect(getEventListeners(context.signal, 'abort')).toEqual([]);
  });
});
