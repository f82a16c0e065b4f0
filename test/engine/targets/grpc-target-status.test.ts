import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack, durationFromMs } from '@bufbuild/protobuf/wkt';
import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { ErrorInfoSchema, RetryInfoSchema } from '../../../gen/google/rpc/error_details_pb.js';
import { StatusSchema } from '../../../gen/google/rpc/status_pb.js';
import { createGrpcClient, deliverTo, grpcTarget } from './grpc/attempt.ts';
import { answerHeaders, bytesOf, framed, log, startGrpcCallee, startHttp2Callee } from './grpc/callee.ts';
import { recordedContext, sampleDelivery } from './http/attempt.ts';

const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

/** A callee that answers with a status. */
const failing = (code: number, details: string, metadata = new Metadata()) =>
  startGrpcCallee((call) => call.emit('error', { code, details, metadata }));

/** Trailers with the details of an error. */
function detailsOf(code: number, delayMs: number): Metadata {
  const details = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: 'BUSY' })),
    anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(delayMs) })),
  ];
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code, details }));
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  return metadata;
}

describe('the status of an answer', () => {
  it.each([
    ['CANCELLED', true],
    ['UNKNOWN', true],
    ['INVALID_ARGUMENT', false],
    ['DEADLINE_EXCEEDED', true],
    ['NOT_FOUND', false],
    ['ALREADY_EXISTS', false],
    ['PERMISSION_DENIED', false],
    ['RESOURCE_EXHAUSTED', true],
    ['FAILED_PRECONDITION', false],
    ['ABORTED', true],
    ['OUT_OF_RANGE', false],
    ['UNIMPLEMENTED', false],
    ['INTERNAL', true],
    ['UNAVAILABLE', true],
    ['DATA_LOSS', false],
    ['UNAUTHENTICATED', false],
  ] as const)('%s fails the attempt; another may help: %s', async (name, retryable) => {
    const callee = await failing(status[name], 'größer als\ngedacht: 100 %');
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual({
      ...targetError,
      message: `gRPC ${name}: größer als gedacht: 100 %`,
      retryable,
    });
  });

  it('DEADLINE_EXCEEDED at the end of the attempt is its timeout, whoever sees it first', async () => {
    const callee = await startGrpcCallee(() => undefined);
    const context = { ...recordedContext(), timeoutMs: 150 };
    expect(await createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context)).toEqual({
      outcome: 'FAILED',
      reason: 'ATTEMPT_TIMEOUT',
      message: 'the attempt took longer than 150 ms',
      retryable: true,
    });
  });

  it('counts after the log lines before it, also when they are stored slowly', async () => {
    const callee = await startGrpcCallee((call) => {
      for (let i = 0; i < 60; i++) call.write(bytesOf(log(`line ${i}`)));
      call.emit('error', { code: status.INTERNAL, details: 'boom' });
    });
    const context = recordedContext(() => new Promise(setImmediate));
    const result = await createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    expect(result.message).toBe('gRPC INTERNAL: boom');
    expect(context.lines.map(({ message }) => message)).toEqual(
      Array.from({ length: 60 }, (_, i) => `line ${i}`),
    );
  });

  it.each([
    [status.UNAVAILABLE, 2_500, 2_500],
    [status.RESOURCE_EXHAUSTED, 0, 0],
    [status.UNAVAILABLE, 31_536_000_000, 86_400_000],
    [status.INVALID_ARGUMENT, 2_500, undefined],
  ])('%i with a RetryInfo of %d ms asks to wait for %s', async (code, delayMs, waitMs) => {
    const callee = await failing(code, 'busy', detailsOf(code, delayMs));
    expect((await deliverTo(grpcTarget(callee.address))).result.retryAfterMs).toBe(waitMs);
  });

  it('asks for no wait by details that cannot be read', async () => {
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff, 0xff]));
    const callee = await failing(status.UNAVAILABLE, 'busy', metadata);
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual({
      ...targetError,
      message: 'gRPC UNAVAILABLE: busy',
      retryable: true,
    });
  });

  it.each([
    ['99', '', 'gRPC UNKNOWN'],
    ['x', 'a%zz', 'gRPC UNKNOWN: a%zz'],
    ['3', '%1B[31mred%E2%80%AEder', 'gRPC INVALID_ARGUMENT: [31mred der'],
    ['3', 'y'.repeat(600), `gRPC INVALID_ARGUMENT: ${'y'.repeat(500)}…`],
  ])('%s with the message %j becomes one plain line', async (code, text, message) => {
    const callee = await startHttp2Callee((stream) =>
      stream.respond(
        { ...answerHeaders, 'grpc-status': code, ...(text && { 'grpc-message': text }) },
        { endStream: true },
      ),
    );
    expect((await deliverTo(grpcTarget(callee.address))).result.message).toBe(message);
  });

  it('is in the headers of an answer that has nothing else', async () => {
    const callee = await startHttp2Callee((stream) =>
      stream.respond({ ...answerHeaders, 'grpc-status': 0 }, { endStream: true }),
    );
    expect((await deliverTo(grpcTarget(callee.address))).result.outcome).toBe('SUCCEEDED');
  });

  it('decides when the stream is reset behind it', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders, { waitForTrailers: true });
      stream.on('wantTrailers', () => {
        stream.sendTrailers({ 'grpc-status': 5, 'grpc-message': 'gone' });
        setImmediate(() => stream.close(0));
      });
      stream.end(framed(bytesOf(log('last words'))));
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result.message).toBe('gRPC NOT_FOUND: gone');
    expect(lines).toEqual([{ level: 'INFO', message: 'last words' }]);
  });

  it('is missing where the answer just ends', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      stream.end(framed(bytesOf(log('and then'))));
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual({
      ...targetError,
      message: 'answer ended without a gRPC status',
      retryable: true,
    });
    expect(lines).toHaveLength(1);
  });
});

describe('an answer that is not gRPC', () => {
  it.each([
    [400, true],
    [401, false],
    [403, false],
    [404, false],
    [429, true],
    [502, true],
    [503, true],
    [504, true],
    [500, true],
    [302, true],
  ])('but HTTP %d fails the attempt; another may help: %s', async (code, retryable) => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond({ ':status': code, 'content-type': 'text/html' });
      stream.end('<h1>no</h1>');
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual({
      ...targetError,
      message: `HTTP ${code} in place of a gRPC answer`,
      retryable,
    });
    expect(lines).toEqual([]);
  });

  it('but a page fails the attempt', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' });
      stream.end('<h1>welcome</h1>');
    });
    const { result } = await deliverTo(grpcTarget(callee.address));
    expect(result.message).toBe('answer is not gRPC, by its content-type');
  });

  it('by its messages fails the attempt for good, after the lines before them', async () => {
    const callee = await startGrpcCallee((call) => {
      call.write(bytesOf(log('fine')));
      call.write(Buffer.from('not protobuf'));
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual({
      ...targetError,
      message: 'answer has a message that is no TargetServiceRunResponse',
      retryable: false,
    });
    expect(lines).toEqual([{ level: 'INFO', message: 'fine' }]);
  });

  it('by fields that it does not know is read all the same', async () => {
    const callee = await startGrpcCallee((call) => {
      call.write(Buffer.from([0xa2, 0x06, 0x01, 0x78]));
      call.end();
    });
    expect((await deliverTo(grpcTarget(callee.address))).result.outcome).toBe('SUCCEEDED');
  });
});
