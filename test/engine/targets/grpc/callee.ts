import { once } from 'node:events';
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerOptions, type ServerWritableStream } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import {
  type TargetServiceRunRequest,
  TargetServiceRunRequestSchema,
  TargetServiceRunResponseSchema,
} from '../../../../gen/carillon/v1/target_service_pb.js';

/** A call as a callee made with grpc-js sees it. */
export type Call = ServerWritableStream<TargetServiceRunRequest, Buffer>;

/** One message of an answer. */
export type Answer = MessageInitShape<typeof TargetServiceRunResponseSchema>['event'];

/** A real server on loopback that lives as long as the test. */
export type GrpcCallee = {
  readonly port: number;
  readonly address: string;
  /** The calls that have come, the first one first. */
  readonly calls: readonly Call[];
};

export type GrpcCalleeOptions = {
  /** With `clientCa`, clients have to show a certificate that it has signed. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly clientCa?: string };
  /** The path of the method. */
  readonly path?: string;
  readonly server?: ServerOptions;
};

/** Starts a callee as its author would write it, with the server of grpc-js. */
export async function startGrpcCallee(
  answer: (call: Call) => void,
  { tls, path = '/carillon.v1.TargetService/Run', server: options }: GrpcCalleeOptions = {},
): Promise<GrpcCallee> {
  const calls: Call[] = [];
  const server = new Server(options);
  const definition = {
    run: {
      path,
      requestStream: false as const,
      responseStream: true as const,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => fromBinary(TargetServiceRunRequestSchema, bytes),
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    },
  };
  server.addService(definition, {
    run: (call: Call) => {
      calls.push(call);
      answer(call);
    },
  });
  const credentials = tls
    ? ServerCredentials.createSsl(
        tls.clientCa === undefined ? null : Buffer.from(tls.clientCa),
        [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) }],
        tls.clientCa !== undefined,
      )
    : ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  onTestFinished(() => server.forceShutdown());
  return { port, address: `127.0.0.1:${port}`, calls };
}

/** The bytes of one message of an answer, without its prefix. */
export function bytesOf(event: Answer): Buffer {
  return Buffer.from(
    toBinary(TargetServiceRunResponseSchema, create(TargetServiceRunResponseSchema, { event })),
  );
}

/** A message with the prefix that goes before it on the wire. */
export function framed(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A log line as an answer. */
export const log = (message: string, rest: object = {}): Answer => ({
  case: 'log',
  value: { message, ...rest },
});

/** A callee on bare HTTP/2, for what no gRPC server does. */
export type Http2Callee = {
  readonly address: string;
  readonly sessions: readonly ServerHttp2Session[];
  readonly streams: readonly ServerHttp2Stream[];
};

/** Starts a callee that is told of each stream, and answers with bare frames. */
export async function startHttp2Callee(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  settings: object = {},
): Promise<Http2Callee> {
  const server: Http2Server = createServer({ settings });
  const sessions: ServerHttp2Session[] = [];
  const streams: ServerHttp2Stream[] = [];
  server.on('session', (session) => sessions.push(session));
  server.on('sessionError', () => undefined);
  server.on('stream', (stream, headers) => {
    streams.push(stream);
    stream.on('error', () => undefined);
    onStream(stream, headers);
  });
  const address = await listen(server as unknown as TcpServer);
  return { address, sessions, streams };
}

/** Starts a callee that is told of each connection, and of nothing else. */
export async function startTcpCallee(onConnection: (socket: Socket) => void): Promise<string> {
  return listen(createTcpServer(onConnection));
}

async function listen(server: TcpServer): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The headers with which a gRPC answer begins. */
export const answerHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' } as const;
