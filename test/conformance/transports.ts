/**
 * The clients of the conformance table. All of them are connect-es transports,
 * so that one test drives them all: two are written here, because grpc-js and
 * plain fetch are not.
 */
import { once } from 'node:events';
import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { base64Decode } from '@bufbuild/protobuf/wire';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import {
  createGrpcWebTransport,
  createConnectTransport as createWebTransport,
} from '@connectrpc/connect-web';
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MetadataValue,
  type ServiceError,
} from '@grpc/grpc-js';
import { StatusSchema } from '../../gen/google/rpc/status_pb.js';
import type { Servers } from './servers.ts';

/** A way to talk to one of the servers. */
export type Way = {
  readonly name: string;
  readonly protocol: 'grpc-js' | 'grpc' | 'connect' | 'grpc-web' | 'json';
  readonly streams: boolean;
  /** Whether requests can be streamed as well: that takes HTTP/2, and more than a browser. */
  readonly bidi: boolean;
  open(servers: Servers): Transport & { close?(): void };
};

/** Every way in. */
export const ways: readonly Way[] = [
  {
    name: 'grpc-js to the gRPC port',
    protocol: 'grpc-js',
    streams: true,
    bidi: true,
    open: ({ grpc }) => createGrpcJsTransport(grpc.address),
  },
  {
    name: 'connect-node gRPC to the gRPC port',
    protocol: 'grpc',
    streams: true,
    bidi: true,
    open: ({ grpc }) => createGrpcTransport({ baseUrl: `http://${grpc.address}` }),
  },
  {
    name: 'connect-node gRPC to the HTTP port',
    protocol: 'grpc',
    streams: true,
    bidi: true,
    open: ({ http }) => createGrpcTransport({ baseUrl: `http://${http.address}` }),
  },
  {
    name: 'connect-node Connect over HTTP/1.1',
    protocol: 'connect',
    streams: true,
    bidi: false,
    open: ({ http }) => createConnectTransport({ baseUrl: `http://${http.address}`, httpVersion: '1.1' }),
  },
  {
    name: 'connect-node Connect over HTTP/2',
    protocol: 'connect',
    streams: true,
    bidi: true,
    open: ({ http }) => createConnectTransport({ baseUrl: `http://${http.address}`, httpVersion: '2' }),
  },
  {
    name: 'connect-web Connect',
    protocol: 'connect',
    streams: true,
    bidi: false,
    open: ({ http }) => createWebTransport({ baseUrl: `http://${http.address}` }),
  },
  {
    name: 'connect-web gRPC-Web',
    protocol: 'grpc-web',
    streams: true,
    bidi: false,
    open: ({ http }) => createGrpcWebTransport({ baseUrl: `http://${http.address}` }),
  },
  {
    name: 'fetch with JSON',
    protocol: 'json',
    streams: false,
    bidi: false,
    open: ({ http }) => createJsonTransport(http.address),
  },
];

/** grpc-js as a transport. */
export function createGrpcJsTransport(address: string): Transport & { close(): void } {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.max_send_message_length': -1,
  });
  const same = (bytes: Buffer): Buffer => bytes;
  const callOptions = (timeoutMs: number | undefined): CallOptions =>
    timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };

  return {
    close: () => client.close(),
    unary(method, signal, timeoutMs, header, input) {
      return new Promise((resolve, reject) => {
        const received = new Headers();
        const call = client.makeUnaryRequest(
          pathOf(method),
          same,
          same,
          bytesOf(method.input, input),
          metadataFromHeaders(header),
          callOptions(timeoutMs),
          (error, value) => {
            if (error !== null) return reject(connectErrorFromGrpc(error));
            const message = fromBinary(method.output, value ?? new Uint8Array());
            const response = {
              stream: false,
              service: method.parent,
              method,
              trailer: new Headers(),
            } as const;
            resolve({ ...response, header: received, message });
          },
        );
        call.on('metadata', (metadata: Metadata) => copyMetadata(metadata, received));
        signal?.addEventListener('abort', () => call.cancel(), { once: true });
      });
    },
    async stream(method, signal, timeoutMs, header, input) {
      const received = new Headers();
      const call = await openStream(method, timeoutMs, header, input);
      call.on('metadata', (metadata: Metadata) => copyMetadata(metadata, received));
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
      async function* messages(): AsyncGenerator<MessageShape<typeof method.output>> {
        try {
          for await (const bytes of call) yield fromBinary(method.output, bytes as Uint8Array);
        } catch (error) {
          throw connectErrorFromGrpc(error as ServiceError);
        } finally {
          call.cancel();
        }
      }
      const response = { stream: true, service: method.parent, method, trailer: new Headers() } as const;
      return { ...response, header: received, message: messages() };
    },
  };

  async function openStream<Desc extends DescMessage>(
    method: DescMethodStreaming<Desc>,
    timeoutMs: number | undefined,
    header: ConstructorParameters<typeof Headers>[0],
    input: AsyncIterable<MessageInitShape<Desc>>,
  ): Promise<ClientReadableStream<Buffer>> {
    const path = pathOf(method);
    const metadata = metadataFromHeaders(header);
    const options = callOptions(timeoutMs);
    if (method.methodKind === 'bidi_streaming') {
      const call = client.makeBidiStreamRequest(path, same, same, metadata, options);
      void writeAll(call, method.input, input);
      return call;
    }
    let request: Buffer = Buffer.alloc(0);
    for await (const first of input) request = bytesOf(method.input, first);
    return client.makeServerStreamRequest(path, same, same, request, metadata, options);
  }
}

/** Writes no faster than the server takes, and then closes this side. */
async function writeAll<Desc extends DescMessage>(
  call: ClientDuplexStream<Buffer, Buffer>,
  desc: Desc,
  input: AsyncIterable<MessageInitShape<Desc>>,
): Promise<void> {
  try {
    for await (const message of input) {
      if (!call.write(bytesOf(desc, message))) await once(call, 'drain');
    }
    call.end();
  } catch {
    // The call has failed, and whoever reads it hears why.
  }
}

/** The Connect protocol as a person with curl speaks it: unary, JSON, no library. */
export function createJsonTransport(address: string): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input) {
      const headers = new Headers(header);
      headers.set('content-type', 'application/json');
      if (timeoutMs !== undefined) headers.set('connect-timeout-ms', String(timeoutMs));
      const body = JSON.stringify(toJson(method.input, create(method.input, input)));
      const answer = await fetch(`http://${address}${pathOf(method)}`, {
        method: 'POST',
        headers,
        body,
        signal,
      }).catch((error: unknown) => {
        throw ConnectError.from(error);
      });
      if (answer.status !== 200)
        throw connectErrorFromJson((await answer.json()) as ErrorJson, answer.headers);
      const message = fromJson(method.output, (await answer.json()) as JsonValue);
      const response = { stream: false, service: method.parent, method, trailer: new Headers() } as const;
      return { ...response, header: answer.headers, message };
    },
    stream() {
      throw new Error('plain JSON has no streams');
    },
  };
}

type ErrorJson = {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
};

function connectErrorFromJson({ code, message, details = [] }: ErrorJson, headers: Headers): ConnectError {
  const name = code.replaceAll(/(^|_)(\w)/g, (_, __, letter: string) => letter.toUpperCase());
  const error = new ConnectError(message, Code[name as keyof typeof Code], headers);
  error.details = details.map(({ type, value }) => ({ type, value: base64Decode(value) }));
  return error;
}

function connectErrorFromGrpc(error: ServiceError): ConnectError {
  const headers = new Headers();
  copyMetadata(error.metadata, headers);
  const converted = new ConnectError(error.details, error.code as number, headers);
  const [status] = error.metadata.get('grpc-status-details-bin');
  if (status instanceof Uint8Array) {
    converted.details = fromBinary(StatusSchema, status).details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
      value,
    }));
  }
  return converted;
}

function pathOf(method: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function bytesOf<Desc extends DescMessage>(desc: Desc, input: MessageInitShape<Desc>): Buffer {
  return Buffer.from(toBinary(desc, create(desc, input)));
}

function metadataFromHeaders(header: ConstructorParameters<typeof Headers>[0]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of new Headers(header)) metadata.set(name, value);
  return metadata;
}

function copyMetadata(metadata: Metadata, headers: Headers): void {
  for (const [name, value] of Object.entries(metadata.getMap()) as [string, MetadataValue][]) {
    if (typeof value === 'string') headers.set(name, value);
  }
}
