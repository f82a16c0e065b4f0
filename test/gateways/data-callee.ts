import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { afterAll, beforeAll } from 'vitest';

/** What a callee was sent: a body over HTTP, a line over TCP. */
export type Received = {
  /** The path of the request; empty over TCP. */
  readonly path: string;
  readonly text: string;
  readonly type: string;
  readonly fireAtMs: number;
};

/**
 * Callees that know nothing of Carillon and keep what they are sent, byte for
 * byte: over HTTP, where /hold answers when the test calls `release`, and over
 * TCP, where a line is read and the connection closed without an answer.
 */
export function useDataCallee(): {
  readonly received: readonly Received[];
  of(path: string): readonly Received[];
  url(path: string): string;
  port(): number;
  release(): void;
} {
  const received: Received[] = [];
  const held = new Set<() => void>();
  const http = createHttpServer(async (request, response) => {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const fireAtMs = Date.parse(String(request.headers['carillon-fire-time']));
    received.push({ path: request.url!, text, type: String(request.headers['content-type']), fireAtMs });
    if (request.url === '/hold') held.add(() => response.end());
    else response.end();
  });
  const tcp = createTcpServer((socket) => {
    let text = '';
    socket.on('error', () => undefined);
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!text.endsWith('\n')) return;
      received.push({ path: '', text, type: '', fireAtMs: Date.parse(JSON.parse(text).fire_time) });
      socket.end();
    });
  });
  const portOf = (server: Pick<Server, 'address'>): number => (server.address() as AddressInfo).port;
  const listen = (server: Server): Promise<void> =>
    new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  beforeAll(async () => {
    await listen(http);
    await listen(tcp);
  });
  afterAll(() => {
    http.closeAllConnections();
    http.close();
    tcp.close();
  });
  return {
    received,
    of: (path) => received.filter((each) => each.path === path),
    url: (path) => `http://127.0.0.1:${portOf(http)}${path}`,
    port: () => portOf(tcp),
    release: () => {
      for (const answer of held) answer();
      held.clear();
    },
  };
}
