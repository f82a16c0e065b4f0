/** Streams both ways whose callers break off, send what is no message, or do not stop; raw HTTP/2, on both ports. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkerServiceConnectRequestSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { type Servers, startServers } from '../conformance/servers.ts';
import { awaitPassing } from '../support/await-passing.ts';
import { type Connect, numberOf, saying, started, workerService } from './echo-workers.ts';

const method = 'carillon.v1.WorkerService/Connect';

describe.each(['grpc', 'http'] as const)('on the %s port', (port) => {
  let servers: Servers;
  let handler: Connect;
  let session: ClientHttp2Session;

  beforeEach(async () => {
    servers = await startServers({
      moreServices: [workerService((requests, call) => handler(requests, call))],
    });
    session = connectHttp2(`http://${servers[port].address}`);
    session.on('error', () => undefined);
  });

  afterEach(async () => {
    session.destroy();
    await servers.stop();
  });

  function open(): ClientHttp2Stream {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.resume();
    return stream;
  }

  /** A request as it stands on the wire. */
  function framed(bytes: Uint8Array): Buffer {
    const frame = Buffer.alloc(5 + bytes.length);
    frame.writeUInt32BE(bytes.length, 1);
    frame.set(bytes, 5);
    return frame;
  }

  function bytesOf(request: MessageInitShape<typeof WorkerServiceConnectRequestSchema>): Buffer {
    const schema = WorkerServiceConnectRequestSchema;
    return framed(toBinary(schema, create(schema, request)));
  }

  it('a connection that is cut is not taken for an orderly end', async () => {
    const handled: number[] = [];
    let thrown: unknown;
    handler = async function* (requests) {
      yield saying('hello');
      try {
        for await (const request of requests) handled.push(numberOf(request));
      } catch (error) {
        thrown = error;
        throw error;
      }
    };
    open().write(bytesOf(started(1)));
    await awaitPassing(() => expect(handled).toEqual([1]));
    session.destroy();
    await awaitPassing(() => expect(servers.ended).toEqual([`${method} CANCELLED`]));
    await awaitPassing(() => expect(thrown).toMatchObject({ reason: 'CANCELED' }));
  });

  it('a connection that is cut is noticed by a handler that does not read, with requests waiting', async () => {
    let isFreed = false;
    handler = async function* (_, call) {
      yield saying('hello');
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      isFreed = true;
    };
    const stream = open();
    await new Promise((resolve) => {
      stream.once('data', resolve);
      stream.write(bytesOf(started(1)));
    });
    for (let i = 0; i < 1_000; i++) stream.write(bytesOf(started(i + 1)));
    session.destroy();
    await awaitPassing(() => expect(isFreed).toBe(true));
    expect(servers.ended).toEqual([`${method} CANCELLED`]);
  });

  it('bytes that are no message end the stream with INVALID_ARGUMENT, behind the requests before them', async () => {
    const handled: number[] = [];
    handler = async function* (requests) {
      for await (const request of requests) {
        handled.push(numberOf(request));
        yield saying('taken');
      }
    };
    const stream = open();
    let status: unknown;
    const note = (headers: IncomingHttpHeaders): void => {
      status = headers['grpc-status'] ?? status;
    };
    stream.on('response', note).on('trailers', note);
    stream.write(
      Buffer.concat([
        bytesOf(started(1)),
        framed(Buffer.from([0x0a, 0xff, 0xff, 0xff])),
        bytesOf(started(2)),
      ]),
    );
    await new Promise((resolve) => stream.once('close', resolve));
    expect(status).toBe(String(Code.InvalidArgument));
    expect(handled).toEqual([1]);
    expect(servers.ended).toEqual([`${method} INVALID_ARGUMENT`]);
  });

  it('a caller who goes on sending after the answer is cut off', async () => {
    handler = async function* (requests) {
      await requests.next();
      yield saying('enough');
    };
    const stream = open();
    let isClosed = false;
    stream.once('close', () => {
      isClosed = true;
    });
    stream.write(bytesOf(started(1)));
    await awaitPassing(() => expect(servers.ended).toEqual([`${method} OK`]));
    await awaitPassing(() => expect(isClosed).toBe(true));
  });
});
