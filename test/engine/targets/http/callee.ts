import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A request as a callee has received it, read to its end. */
export type Received = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Names as they came over the wire, and their values, in turn. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
};

/** A real server on loopback that lives as long as the test. */
export type Callee = {
  readonly origin: string;
  readonly port: number;
  /** Everything that has been asked of it. */
  readonly received: Received[];
  /** How many connections it has accepted. */
  readonly accepted: () => number;
};

type Answer = (request: Received, response: ServerResponse) => void;

/** Starts a callee that answers each request once it has read it. */
export async function startCallee(answer: Answer, tls?: { key: string; cert: string }): Promise<Callee> {
  const received: Received[] = [];
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request;
      received.push({ method, path: url, headers, rawHeaders, body: Buffer.concat(chunks).toString() });
      answer(received.at(-1) as Received, response);
    });
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  return { received, ...(await listen(server, tls ? 'https' : 'http')) };
}

/** Starts a callee that speaks for itself: told of each connection, and of nothing else. */
export async function startRawCallee(onConnection: (socket: Socket) => void): Promise<Callee> {
  return { received: [], ...(await listen(createTcpServer(onConnection), 'http')) };
}

/** Answers on a raw connection with these bytes when the request is there, and keeps it open. */
export function answerWith(socket: Socket, bytes: string | Buffer): void {
  socket.on('error', () => undefined);
  socket.once('data', () => socket.write(bytes));
}

async function listen(server: Server, scheme: string): Promise<Omit<Callee, 'received'>> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  const { port } = server.address() as AddressInfo;
  return { port, origin: `${scheme}://127.0.0.1:${port}`, accepted: () => accepted };
}

/**
 * A port of loopback on which nobody listens: below those that systems hand out, so that nobody is given it meanwhile.
 */
export async function unusedPort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createTcpServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
