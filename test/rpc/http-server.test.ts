import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { type Servers, type ServersOptions, startServers } from '../conformance/servers.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { fakeNow } from '../support/fake-operations.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(http: ServersOptions['http'] = {}, maxUnaryMs?: number): Promise<Servers> {
  const servers = await startServers({ http, maxUnaryMs });
  cleanups.push(() => servers.stop());
  return servers;
}

type ErrorJson = {
  code: string;
  message: string;
  details?: { type: string; debug: Record<string, unknown> }[];
};

/** Posts text as JSON to a method. */
async function post(
  servers: Servers,
  method: string,
  body: string | Buffer<ArrayBuffer>,
  headers: Record<string, string> = {},
) {
  const answer = await fetch(`http://${servers.http.address}/carillon.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return { status: answer.status, headers: answer.headers, json: (await answer.json()) as ErrorJson };
}

const detailOf = (error: ErrorJson, type: string): Record<string, unknown> | undefined =>
  error.details?.find((detail) => detail.type === `google.rpc.${type}`)?.debug;

/** Speaks plain bytes to the port and collects what comes back. */
async function speak(
  servers: Servers,
  text: string,
): Promise<{ socket: Socket; received(): string; closed: Promise<void> }> {
  const [host, port] = servers.http.address.split(':');
  const socket = connectTcp(Number(port), host);
  let received = '';
  socket.on('data', (chunk) => {
    received += String(chunk);
  });
  socket.on('error', () => undefined);
  cleanups.push(() => socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise((resolve) => socket.once('connect', resolve));
  if (text !== '') socket.write(text);
  return { socket, received: () => received, closed };
}

describe('pages', () => {
  it('says at / what this is, without anything secret', async () => {
    const servers = await start();
    const answer = await fetch(`http://${servers.http.address}/`);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await answer.text()).toContain('Carillon, a job-scheduling service');
  });

  it('says at /healthz that it lives and at /readyz whether it can serve', async () => {
    const servers = await start();
    const statuses = async () => {
      const answers = ['healthz', 'readyz'].map((page) => fetch(`http://${servers.http.address}/${page}`));
      return (await Promise.all(answers)).map(({ status }) => status);
    };
    expect(await statuses()).toEqual([200, 200]);
    servers.operations.notReady = new Error('cannot reach db.internal');
    expect(await statuses()).toEqual([200, 503]);
    const answer = await fetch(`http://${servers.http.address}/readyz`);
    expect(await answer.text()).not.toContain('db.internal');
  });

  it('answers other paths with 404 as JSON', async () => {
    const servers = await start();
    const answer = await fetch(`http://${servers.http.address}/nothing`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ code: 'unimplemented' });
    expect((await post(servers, 'JobService/Nothing', '{}')).status).toBe(404);
  });

  it('serves mounts behind the probes, and survives one that throws', async () => {
    const servers = await start({
      mounts: [
        (request, response) => {
          if (request.url === '/throws') throw new Error('secret');
          if (request.url !== '/mounted' && request.url !== '/healthz') return false;
          response.end('mounted');
          return true;
        },
      ],
    });
    const get = (path: string) => fetch(`http://${servers.http.address}${path}`);
    expect(await (await get('/mounted')).text()).toBe('mounted');
    expect(await (await get('/healthz')).text()).toContain('alive');
    const thrown = await get('/throws');
    expect(thrown.status).toBe(500);
    expect(await thrown.text()).not.toContain('secret');
  });
});

describe('JSON', () => {
  it.each([
    ['{"nothing":1}', 'nothing', 'is not a field of carillon.v1.JobServiceAddRequest'],
    ['{"job":{"key":{"name":"a","Name":"b"}}}', 'Name', 'is not a field of carillon.v1.JobKey'],
    ['{"job":{"__proto__":{"a":1}}}', '__proto__', 'is not a field of carillon.v1.Job'],
    ['{"job":{"priority":"many"}}', 'priority', 'expected number (int32), got "many"'],
    ['{"job":{"id":"9223372036854775808"}}', 'id', expect.stringContaining('out of range')],
    ['{"job":{"startPaused":1}}', 'start_paused', expect.any(String)],
  ])('refuses %s and names the field', async (body, field, description) => {
    const servers = await start();
    const { status, json, headers } = await post(servers, 'JobService/Add', body);
    expect([status, json.code]).toEqual([400, 'invalid_argument']);
    expect(detailOf(json, 'ErrorInfo')).toMatchObject({ reason: 'INVALID_ARGUMENT', domain: 'carillon' });
    expect(detailOf(json, 'BadRequest')).toMatchObject({ fieldViolations: [{ field, description }] });
    expect(headers.get('x-request-id')).toBeTruthy();
    expect(servers.ended).toEqual(['carillon.v1.JobService/Add INVALID_ARGUMENT']);
    expect(servers.operations.asked).toEqual([]);
  });

  it.each([
    ['{"job":{"overlap":"OVERLAP_POLICY_BUFFER"}}', 'enum carillon.v1.OverlapPolicy'],
    ['{"job":{"attemptTimeout":"5 minutes"}}', 'message google.protobuf.Duration'],
    ['{"job":{"description":"a","description":"b"}}', 'duplicate object key "description"'],
  ])('refuses %s and names what cannot be read', async (body, what) => {
    const servers = await start();
    const { json } = await post(servers, 'JobService/Add', body);
    expect(json.code).toBe('invalid_argument');
    expect(detailOf(json, 'ErrorInfo')).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      metadata: { description: expect.stringContaining(what) },
    });
  });

  it.each([
    ['nothing', ''],
    ['half a text', '{"job":'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a string', '"text"'],
    ['100,000 brackets', '['.repeat(100_000)],
    [
      'an object 5,000 deep',
      `{"job":{"parameters":{"object":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}}}`,
    ],
  ])('refuses what is no JSON object of the request: %s', async (_, body) => {
    const servers = await start();
    const { json } = await post(servers, 'JobService/Add', body);
    expect(json.code).toBe('invalid_argument');
    expect(detailOf(json, 'ErrorInfo')).toMatchObject({ reason: 'INVALID_ARGUMENT' });
  });

  it('refuses bytes that are not UTF-8 in place of changing them', async () => {
    const servers = await start();
    const body = Buffer.concat([
      Buffer.from('{"job":{"description":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}}'),
    ]);
    expect((await post(servers, 'JobService/Add', body)).json.code).toBe('invalid_argument');
  });

  it.each([
    ['\\u0000', 'job.description'],
    ['\\ud800', 'description'],
  ])('refuses text with %s', async (bad, field) => {
    const servers = await start();
    const { json } = await post(servers, 'JobService/Add', `{"job":{"description":"${bad}"}}`);
    expect(detailOf(json, 'BadRequest')).toMatchObject({ fieldViolations: [{ field }] });
  });

  it('takes 64-bit numbers as text and as numbers', async () => {
    const servers = await start();
    for (const id of ['"7"', '7']) {
      const { json } = await post(servers, 'JobService/Get', `{"job":{"id":${id}}}`);
      expect(json.code).toBe('not_found');
    }
    expect(servers.operations.asked.map(({ args }) => args)).toEqual([[{ id: 7 }], [{ id: 7 }]]);
  });

  it('refuses a body over 4 MiB also when it is smaller on the wire', async () => {
    const servers = await start();
    const body = gzipSync(`{"job":{"description":"${'x'.repeat(5_000_000)}"}}`);
    const { json } = await post(servers, 'JobService/Add', body, { 'content-encoding': 'gzip' });
    expect(json.code).toBe('resource_exhausted');
    expect(detailOf(json, 'ErrorInfo')).toMatchObject({ reason: 'QUOTA_EXCEEDED' });
    expect(detailOf(json, 'QuotaFailure')).toMatchObject({ violations: [{ subject: 'request' }] });
  });

  it.each([
    ['connect-timeout-ms', 'soon'],
    ['content-encoding', 'zip'],
  ])('refuses the header %s: %s with a reason', async (name, value) => {
    const servers = await start();
    const { json } = await post(servers, 'JobService/List', '{}', { [name]: value });
    expect(['invalid_argument', 'unimplemented']).toContain(json.code);
    expect(detailOf(json, 'ErrorInfo')).toMatchObject({ domain: 'carillon' });
  });

  // What a page of any site can send without asking first.
  it.each(['', 'text/plain', 'text/plain; application/json', 'application/x-www-form-urlencoded'])(
    'calls nothing for a body of the type %j, which forms of foreign pages can have',
    async (type) => {
      const servers = await start();
      const { status } = await fetch(`http://${servers.http.address}/carillon.v1.JobService/Add`, {
        method: 'POST',
        headers: { 'content-type': type },
        body: '{"job":{"key":{"name":"a"},"target":{"http":{"url":"http://a/"}}}}',
      });
      expect(status).toBe(415);
      expect(servers.operations.asked).toEqual([]);
    },
  );

  it('answers reads by GET and changes by POST only', async () => {
    const servers = await start();
    const get = (method: string) =>
      fetch(`http://${servers.http.address}/carillon.v1.${method}?encoding=json&message=%7B%7D`);
    expect((await get('JobService/List')).status).toBe(200);
    expect((await get('JobService/Delete')).status).toBe(405);
  });
});

describe('CORS', () => {
  const origin = 'https://ops.example.com';

  it('answers preflights of listed origins, and of no others', async () => {
    const servers = await start({ corsOrigins: [origin] });
    const preflight = (from: string) =>
      fetch(`http://${servers.http.address}/carillon.v1.JobService/List`, {
        method: 'OPTIONS',
        headers: { origin: from, 'access-control-request-method': 'POST' },
      });
    const allowed = await preflight(origin);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(origin);
    expect(allowed.headers.get('access-control-allow-methods')).toBe('POST, GET');
    expect(allowed.headers.get('access-control-allow-headers')?.toLowerCase()).toContain(
      'connect-protocol-version',
    );
    expect(allowed.headers.get('vary')).toBe('origin');
    const other = await preflight('https://evil.example.com');
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('lets scripts of listed origins read the answer and its request id', async () => {
    const servers = await start({ corsOrigins: [origin] });
    const { headers } = await post(servers, 'JobService/List', '{}', { origin });
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-expose-headers')?.toLowerCase()).toContain('x-request-id');
  });

  it('is off without origins', async () => {
    const servers = await start();
    const { headers } = await post(servers, 'JobService/List', '{}', { origin });
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('vary')).toBeNull();
  });
});

describe('connections', () => {
  it('are HTTP/1.1 or HTTP/2 by their first bytes, also when these come one by one', async () => {
    const servers = await start();
    const { socket, received } = await speak(servers, '');
    for (const byte of 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await awaitPassing(() => expect(received()).toContain('200 OK'));
    const http2 = connectHttp2(`http://${servers.http.address}`);
    cleanups.push(() => http2.destroy());
    const stream = http2.request({ ':path': '/healthz' });
    const status = await new Promise((resolve) =>
      stream.once('response', (headers) => resolve(headers[':status'])),
    );
    expect(status).toBe(200);
  });

  it('that begin like HTTP/2 and go on otherwise are closed', async () => {
    const servers = await start({ headersTimeoutMs: 150 });
    const { closed } = await speak(servers, 'PRI * HTTP/1.0\r\n\r\n');
    await closed;
    const http2 = await speak(servers, 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n');
    await http2.closed;
    // A call of this process may come too late as well, when that does not get the processor.
    await awaitPassing(async () =>
      expect((await fetch(`http://${servers.http.address}/healthz`)).status).toBe(200),
    );
  });

  it.each(['', 'P', 'PRI * HT', 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: '])(
    'are closed when their headers do not come in time: %j',
    async (text) => {
      const servers = await start({ headersTimeoutMs: 150 });
      const { closed } = await speak(servers, text);
      await closed;
    },
  );

  it('are closed when a body does not come in time', async () => {
    const servers = await start({ headersTimeoutMs: 100, requestTimeoutMs: 200 });
    const head =
      'POST /carillon.v1.JobService/List HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
    const { closed } = await speak(servers, `${head}Content-Length: 100\r\n\r\n{`);
    await closed;
    expect(servers.operations.asked).toEqual([]);
    const http2 = connectHttp2(`http://${servers.http.address}`);
    // A connection that is cut before its first bytes have been read is reset.
    http2.on('error', () => undefined);
    cleanups.push(() => http2.destroy());
    const stream = http2.request({
      ':method': 'POST',
      ':path': '/carillon.v1.JobService/List',
      'content-type': 'application/json',
    });
    stream.on('error', () => undefined);
    stream.write('{');
    await new Promise((resolve) => stream.once('close', resolve));
  });

  it.each([
    'GET / HTTP/1.0\r\n\r\n',
    'POST /carillon.v1.JobService/List HTTP/1.0\r\ncontent-type: application/json\r\n\r\n',
  ])('without a Host do no harm: %j', async (text) => {
    const servers = await start();
    const { closed, received } = await speak(servers, text);
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 (200|400)/);
  });

  it('with a Host that is none do no harm', async () => {
    const servers = await start();
    const head =
      'POST /carillon.v1.JobService/List HTTP/1.1\r\nHost: a b[\r\nContent-Type: application/json\r\n';
    const { received } = await speak(servers, `${head}Content-Length: 2\r\n\r\n{}`);
    await awaitPassing(() => expect(received()).toContain('400'));
    expect((await fetch(`http://${servers.http.address}/healthz`)).status).toBe(200);
  });

  it('with headers beyond measure are refused', async () => {
    const servers = await start();
    const { received, closed } = await speak(
      servers,
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`,
    );
    await closed;
    expect(received()).toContain('431');
  });
});

describe('stopping the HTTP port', () => {
  it('closes idle connections of both versions and silent ones at once', async () => {
    const servers = await start();
    const idle = await speak(servers, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await awaitPassing(() => expect(idle.received()).toContain('alive'));
    const silent = await speak(servers, '');
    const http2 = connectHttp2(`http://${servers.http.address}`);
    await new Promise((resolve) => http2.once('remoteSettings', resolve));
    const http2Closed = new Promise((resolve) => http2.once('close', resolve));
    const startedMs = performance.now();
    await servers.http.stop();
    await Promise.all([idle.closed, silent.closed, http2Closed]);
    // The grace time is ten seconds.
    expect(performance.now() - startedMs).toBeLessThan(8_000);
  });

  it('lets calls under way finish, and ends them with UNAVAILABLE after the grace time', async () => {
    const servers = await start({ stopGraceMs: 150 });
    const slow = post(servers, 'JobService/Get', '{"job":{"key":{"name":"slow"}}}');
    await awaitPassing(() => expect(servers.operations.asked).toHaveLength(1));
    await servers.http.stop();
    const { status, json } = await slow;
    expect([status, json.code]).toEqual([503, 'unavailable']);
    expect(detailOf(json, 'RetryInfo')).toMatchObject({ retryDelay: '1s' });
  });

  it('ends streams with UNAVAILABLE and RetryInfo', async () => {
    const servers = await start();
    servers.operations.streamMessages = [{ cursor: 'c', event: { kind: 'heartbeat', at: fakeNow } }];
    const frame = Buffer.from('\0\0\0\0\u0013{"executionId":"1"}', 'latin1');
    const answer = await fetch(`http://${servers.http.address}/carillon.v1.ExecutionService/Stream`, {
      method: 'POST',
      headers: { 'content-type': 'application/connect+json' },
      body: frame,
    });
    const text = answer.text();
    await awaitPassing(() => expect(servers.operations.openStreams).toBe(1));
    await servers.http.stop();
    expect(await text).toMatch(/"cursor":"c".*"code":"unavailable".*google.rpc.RetryInfo/s);
  });

  it('is red at /readyz as soon as it begins', async () => {
    const servers = await start();
    const canceling = new AbortController();
    const slow = fetch(`http://${servers.http.address}/carillon.v1.JobService/Get`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"job":{"key":{"name":"slow"}}}',
      signal: canceling.signal,
    });
    const kept = await speak(servers, 'GET /readyz HTTP/1.1\r\nHost: a\r\nX-Rest: ');
    await awaitPassing(() => expect(servers.operations.asked).toHaveLength(1));
    const stopping = servers.http.stop();
    kept.socket.write('a\r\n\r\n');
    await kept.closed;
    expect(kept.received()).toMatch(/^HTTP\/1.1 503 .*connection: close/is);
    // The call that has kept the port from closing until now.
    canceling.abort();
    await expect(slow).rejects.toThrow('abort');
    await stopping;
  });
});
