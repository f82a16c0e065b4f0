import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions as TlsServerOptions } from 'node:tls';
import { onTestFinished } from 'vitest';
import type { LogLine } from '../../../../src/domain/execution.ts';
import type { SocketTarget } from '../../../../src/domain/job.ts';
import {
  SocketTargetClient,
  type SocketTargetClientOptions,
} from '../../../../src/engine/targets/socket-target-client.ts';
import type { DeliveryResult } from '../../../../src/engine/targets/target.ts';
import { loopbackOpen } from '../../../support/egress.ts';
import { recordedContext, sampleDelivery } from '../http/attempt.ts';

/** A real TCP server on loopback that lives as long as the test. */
export type SocketCallee = {
  readonly port: number;
  readonly sockets: readonly Socket[];
  /** The lines that it was sent, without their ends. */
  readonly received: readonly string[];
};

/** Starts a callee that answers each line that it is sent. */
export async function startSocketCallee(
  answer: (socket: Socket, line: string) => void,
  tls?: TlsServerOptions,
): Promise<SocketCallee> {
  const sockets: Socket[] = [];
  const received: string[] = [];
  const onSocket = (socket: Socket): void => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf('\n');
      if (end === -1) return;
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      received.push(line);
      answer(socket, line);
    });
  };
  const server = tls ? createTlsServer(tls, onSocket) : createServer(onSocket);
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return { port: (server.address() as AddressInfo).port, sockets, received };
}

/** Starts a callee that sends these bytes and closes the connection. */
export const startSaying = (bytes: string | Buffer): Promise<SocketCallee> =>
  startSocketCallee((socket) => socket.end(bytes));

/** A client that is closed when the test is over. */
export function createSocketClient(options: Partial<SocketTargetClientOptions> = {}): SocketTargetClient {
  const client = new SocketTargetClient({ egress: loopbackOpen, closeGraceMs: 0, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** A target on loopback. */
export function socketTarget(port: number, rest: Partial<SocketTarget> = {}): SocketTarget {
  return { kind: 'socket', host: '127.0.0.1', port, ...rest };
}

/** Delivers the sample to a target and returns the result with the log. */
export async function deliverTo(
  target: SocketTarget,
  { maxLogBytes, ...options }: Partial<SocketTargetClientOptions> & { readonly maxLogBytes?: number } = {},
): Promise<{ readonly result: DeliveryResult; readonly lines: readonly LogLine[] }> {
  const context = recordedContext(undefined, maxLogBytes);
  const result = await createSocketClient(options).deliver(target, sampleDelivery, context);
  return { result, lines: context.lines };
}
