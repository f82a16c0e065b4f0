import { request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DialectName } from '../../src/gateways/gateways.ts';
import { type Servers, startServers } from '../conformance/servers.ts';
import { awaitThat } from '../support/await-that.ts';
import { secretText } from '../support/fake-operations.ts';
import { jobDraftMessage } from './job-messages.ts';
import { ask, type Fetched, send } from './json-fetch.ts';

/** What every gateway does with a request before a dialect has its say; shown with RuoYi's, whose errors are JSON. */

const gateways: DialectName[] = ['ruoyi'];

describe('a gateway', () => {
  let servers: Servers;
  let base: string;
  const jobs = new Map<string, number>();

  beforeAll(async () => {
    servers = await startServers({ gateways, http: { corsOrigins: ['https://ops.example'] } });
    base = `http://${servers.http.address}`;
    for (const name of ['good']) {
      const { json } = await send('POST', `${base}/carillon.v1.JobService/Add`, {
        job: jobDraftMessage(name),
      });
      jobs.set(name, Number(json.job.id));
    }
  });
  afterAll(() => servers.stop());

  const run = (body: string | Buffer | object, headers: Record<string, string> = {}): Promise<Fetched> => {
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
    return ask(`${base}/monitor/job/run`, {
      method: 'PUT',
      body: isRaw ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  };
  const good = () => ({ jobId: jobs.get('good') });

  it('makes its calls through the chain: they are counted, logged and carry one request id', async () => {
    const { status, headers } = await run(good(), { 'x-request-id': 'from-outside' });
    expect([status, headers.get('x-request-id')]).toEqual([200, 'from-outside']);
    expect(servers.ended.slice(-2)).toEqual([
      'carillon.v1.JobService/Get OK',
      'carillon.v1.JobService/Trigger OK',
    ]);
    const lines = servers.logged.filter(({ requestId }) => requestId === 'from-outside');
    expect(lines.map(({ method, code }) => `${method} ${code}`)).toEqual(servers.ended.slice(-2));
    expect(lines[0]?.peer).toMatch(/^127\.0\.0\.1:\d+$/);

    const made = (await run(good())).headers.get('x-request-id')!;
    expect(servers.logged.filter(({ requestId }) => requestId === made)).toHaveLength(2);
    const last = servers.operations.asked.at(-1)!.args[1];
    expect(last).toMatchObject({
      requestId: made,
      method: 'carillon.v1.JobService/Trigger',
      permission: 'OPERATE',
    });
  });

  it.each<[string, () => Promise<Fetched>, number, string]>([
    ['no JSON', () => run('{"jobId": 1'), 400, 'the body must be JSON'],
    ['a word', () => run('secret-word'), 400, 'the body must be JSON'],
    ['what is not UTF-8', () => run(Buffer.from([0x22, 0xff, 0x22])), 400, 'the body must be text in utf-8'],
    [
      'another type',
      () => run('jobId=1', { 'content-type': 'text/plain' }),
      415,
      'must be application/json, not',
    ],
    ['a form', () => run('jobId=1', { 'content-type': 'application/x-www-form-urlencoded' }), 415, 'must be'],
    [
      'a charset that there is not',
      () => run({}, { 'content-type': 'application/json;charset=x' }),
      415,
      'charset "x"',
    ],
    ['a compressed body', () => run({}, { 'content-encoding': 'gzip' }), 415, 'must not be compressed'],
    ['a deep nesting', () => run(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), 400, 'at most 64 levels'],
    ['too many bytes', () => run(`{"a": "${'x'.repeat(4 * 1_024 * 1_024)}"}`), 413, 'at most 4194304 bytes'],
    ['a broken path', () => ask(`${base}/monitor/job/%ff`), 400, 'the path must be percent-encoded'],
    [
      'a broken query',
      () => ask(`${base}/monitor/job/list?jobName=%ff`),
      400,
      'the query must be percent-encoded',
    ],
    ['an unknown path', () => ask(`${base}/monitor/job/1/2/3`), 404, 'nothing at this path'],
  ])('refuses %s in the shape of its dialect', async (_what, asked, status, message) => {
    const answer = await asked();
    expect([answer.status, answer.json.code]).toEqual([status, status]);
    expect(answer.json.msg).toContain(message);
    expect(answer.text).not.toContain('secret-word');
    expect(answer.headers.get('carillon-reason')).toMatch(/^[A-Z_]+$/);
  });

  it('refuses a body of unknown length as soon as it is too large', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest(`${base}/monitor/job/run`, { method: 'PUT' }, (response) => {
        resolve(response.statusCode!);
        request.destroy();
      });
      request.on('error', reject);
      const block = Buffer.alloc(1_024 * 1_024, ' ');
      for (let n = 0; n < 6; n++) request.write(block);
    });
    expect(status).toBe(413);
  });

  it('reads JSON behind a byte order mark, in the charset that it names, and without a type', async () => {
    expect((await run(`\ufeff${JSON.stringify(good())}`)).status).toBe(200);
    const gbk = Buffer.concat([
      Buffer.from(`{"jobId": ${jobs.get('good')}, "jobGroup": "`),
      Buffer.from([0xd6, 0xd0]),
      Buffer.from('"}'),
    ]);
    // The group is another one: it was understood as 中, and there is no such job in it.
    expect((await run(gbk, { 'content-type': 'application/json; charset=GBK' })).json.code).toBe(500);
    expect((await run(gbk)).status).toBe(400);
    const status = await new Promise<number>((resolve) => {
      httpRequest(`${base}/monitor/job/run`, { method: 'PUT' }, (response) =>
        resolve(response.statusCode!),
      ).end(JSON.stringify(good()));
    });
    expect(status).toBe(200);
  });

  it('takes a trailing slash, and says which methods a path has', async () => {
    expect((await ask(`${base}/monitor/job/list/`)).status).toBe(200);
    const head = await ask(`${base}/monitor/job/list`, { method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(10);
    const options = await ask(`${base}/monitor/job/list`, { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
    const post = await ask(`${base}/monitor/job/list`, { method: 'POST' });
    expect([post.status, post.json.code, post.headers.get('allow')]).toEqual([405, 405, 'GET, HEAD']);
  });

  it('leaves every other path to the server', async () => {
    expect((await ask(`${base}/`)).text).toContain('Carillon, a job-scheduling service');
    expect((await ask(`${base}/healthz`)).status).toBe(200);
    expect((await ask(`${base}/monitor/jobs`)).json.code).toBe('unimplemented');
    expect((await ask(`${base}/tasks/running/x`)).json.code).toBe('unimplemented');
  });

  it('tells nobody outside what broke, and writes it to the log', async () => {
    const { jobs: operations } = servers.operations;
    const { trigger } = operations;
    operations.trigger = () => Promise.reject(new TypeError(secretText));
    const { status, text, headers } = await run(good());
    operations.trigger = trigger;
    expect([status, headers.get('carillon-reason')]).toEqual([500, 'INTERNAL']);
    expect(text).not.toContain(secretText);
    expect(
      servers.logged.some(({ level, error }) => level === 'error' && String(error).includes(secretText)),
    ).toBe(true);
  });

  it('tells it when a run was left out, because too many wait', async () => {
    const { jobs: operations } = servers.operations;
    const { trigger } = operations;
    let overlap: unknown;
    operations.trigger = async (request, caller) => {
      overlap = request.overlap;
      const { execution, replayed } = await trigger(request, caller);
      return { execution: { ...execution, state: 'SKIPPED', reason: 'OVERLAP' }, replayed };
    };
    const { status, headers } = await run(good());
    operations.trigger = trigger;
    expect([status, headers.get('carillon-reason'), overlap]).toEqual([429, 'QUOTA_EXCEEDED', 'BUFFER_ALL']);
  });

  it('ends a call that takes too long by the deadline of the chain', async () => {
    const strict = await startServers({ gateways, maxUnaryMs: 100 });
    strict.operations.jobs.get = () => new Promise(() => undefined);
    const { status, headers } = await ask(`http://${strict.http.address}/monitor/job/1`);
    expect([status, headers.get('carillon-reason')]).toEqual([504, 'DEADLINE_EXCEEDED']);
    await strict.stop();
  });

  it('ends the call when its caller goes away', async () => {
    const { jobs: operations } = servers.operations;
    const { get } = operations;
    const leaving = new AbortController();
    operations.get = () => {
      leaving.abort();
      return new Promise(() => undefined);
    };
    await expect(
      fetch(`${base}/monitor/job/1`, { signal: leaving.signal }).then(() => 'answered'),
    ).rejects.toThrow(/abort/);
    await awaitThat(
      'the call is canceled',
      () => servers.ended.at(-1) === 'carillon.v1.JobService/Get CANCELLED',
    );
    operations.get = get;
  });

  it.each([
    ['a form of another page', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }, 403],
    ['an image of another page', { 'sec-fetch-site': 'same-site' }, 403],
    ['an old browser on another page', { origin: 'https://evil.example' }, 403],
    ['a page of no origin', { origin: 'null' }, 403],
    ['a page of an allowed origin', { 'sec-fetch-site': 'cross-site', origin: 'https://ops.example' }, 200],
    ['a page of its own', { 'sec-fetch-site': 'same-origin' }, 200],
    ['the address bar', { 'sec-fetch-site': 'none' }, 200],
  ])('answers %s with %s', async (_who, headers, status) => {
    // fetch does not let a program set these headers.
    const answered = await new Promise<number>((resolve, reject) => {
      const sent = httpRequest(`${base}/monitor/job/list`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      sent.on('error', reject);
      sent.end();
    });
    expect(answered).toBe(status);
  });

  it('answers over HTTP/2, too', async () => {
    const session = connect(base);
    const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
      const stream = session.request({
        ':method': 'PUT',
        ':path': '/monitor/job/run',
        'content-type': 'application/json',
        origin: base,
      });
      let status = 0;
      let body = '';
      stream.on('response', (headers) => {
        status = Number(headers[':status']);
      });
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      stream.on('end', () => resolve({ status, body })).on('error', reject);
      stream.end(JSON.stringify(good()));
    });
    session.close();
    expect(answer).toEqual({ status: 200, body: '{"code":200,"msg":"操作成功"}' });
  });
});

describe('a gateway of a server that stops', () => {
  it('refuses calls in the shape of its dialect, and lets those under way end', async () => {
    const servers = await startServers({ gateways });
    const base = `http://${servers.http.address}`;
    const { jobs } = servers.operations;
    const { list } = jobs;
    let answer: (() => void) | undefined;
    jobs.list = async (...args) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return list(...args);
    };
    const underWay = ask(`${base}/monitor/job/list`);
    const late = await lateRequest(servers);
    await awaitThat('a call is under way', () => answer !== undefined);
    const stopped = servers.http.stop();
    const refused = await late();
    expect([refused.status, refused.json.code, refused.reason]).toEqual([503, 503, 'UNAVAILABLE']);
    answer?.();
    expect((await underWay).status).toBe(200);
    await stopped;
    await servers.grpc.stop();
  });
});

/** Opens a connection whose request is sent in two parts: the second when the function is called. */
async function lateRequest(
  servers: Servers,
  // biome-ignore lint/suspicious/noExplicitAny: the body of an error
): Promise<() => Promise<{ status: number; json: any; reason: unknown }>> {
  const body = JSON.stringify({ jobId: 1 });
  const request = httpRequest(`http://${servers.http.address}/monitor/job/run`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' },
  });
  request.flushHeaders();
  // The server has the headers, and waits for the body.
  await new Promise<void>((resolve) => request.once('continue', resolve));
  return () =>
    new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            json: JSON.parse(text),
            reason: response.headers['carillon-reason'],
          }),
        );
      });
      request.end(body);
    });
}
