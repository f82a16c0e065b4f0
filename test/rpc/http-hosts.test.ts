/** By which names the HTTP port may be addressed where nobody needs credentials. */
import { once } from 'node:events';
import { request as requestHttp1 } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Servers, startServers } from '../conformance/servers.ts';

let judged: Servers;
let open: Servers;

beforeAll(async () => {
  judged = await startServers({
    http: { hosts: ['ops.example'], corsOrigins: ['http://evil.example:8080'] },
  });
  open = await startServers();
});

afterAll(() => Promise.all([judged.stop(), open.stop()]));

const body = '{"job":{"key":{"name":"a"},"target":{"worker":{"queue":"q"}}}}';
const path = '/carillon.v1.JobService/Add';

async function overHttp1({ http }: Servers, host: string): Promise<number | undefined> {
  const [name, port] = http.address.split(':');
  const headers = { host, origin: `http://${host}`, 'content-type': 'application/json' };
  const request = requestHttp1({ host: name, port, path, method: 'POST', headers });
  request.end(body);
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}

async function overHttp2({ http }: Servers, host: string): Promise<number> {
  const session = connectHttp2(`http://${http.address}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    ':authority': host,
    'content-type': 'application/json',
  });
  stream.end(body);
  const [headers] = await once(stream, 'response');
  stream.resume();
  session.close();
  return headers[':status'] as number;
}

describe.each([
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
] as const)('over %s', (_name, send) => {
  it.each([
    'evil.example:8080',
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'a.localhost.b',
  ])('a page whose name %s leads here calls nothing (DNS rebinding)', async (host) => {
    const before = judged.operations.asked.length;
    expect(await send(judged, host)).toBe(421);
    expect(judged.operations.asked).toHaveLength(before);
  });

  it.each([
    '127.0.0.1:8080',
    '[::1]:8080',
    'localhost:8080',
    'LOCALHOST',
    'carillon.localhost',
    'ops.example:8080',
  ])('the port answers to %s', async (host) => {
    expect(await send(judged, host)).not.toBe(421);
  });

  it('a port where callers need credentials, or which others reach, answers to any name', async () => {
    expect(await send(open, 'anything.example')).not.toBe(421);
  });
});

it('the listeners of a request that was refused before it was read do not stay at its connection', async () => {
  const { Agent, request: ask } = await import('node:http');
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const [host, port] = open.http.address.split(':');
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  for (let n = 0; n < 40; n++) {
    const request = ask({
      agent,
      host,
      port,
      path,
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
    });
    request.end(body);
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    expect(response.statusCode).toBe(415);
  }
  process.off('warning', onWarning);
  agent.destroy();
  expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
});
