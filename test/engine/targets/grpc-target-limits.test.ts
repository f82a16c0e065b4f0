import { compressionAlgorithms } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { createGrpcClient, deliverTo, grpcTarget } from './grpc/attempt.ts';
import {
  answerHeaders,
  bytesOf,
  type Call,
  framed,
  log,
  startGrpcCallee,
  startHttp2Callee,
} from './grpc/callee.ts';
import { recordedContext, sampleDelivery } from './http/attempt.ts';
import { retainedMemory } from './http/retained-memory.ts';

const MiB = 1_048_576;
const targetError = { outcome: 'FAILED', reason: 'TARGET_ERROR' };

/** A callee that sends the message again and again, up to `times`, as fast as it is read. */
async function startRepeating(message: Buffer, times: number) {
  let written = 0;
  let peak = 0;
  const callee = await startGrpcCallee((call: Call) => {
    const write = (): void => {
      while (written < times && !call.cancelled) {
        written++;
        if (written % 256 === 0) peak = Math.max(peak, retainedMemory());
        if (!call.write(message)) return;
      }
      if (written === times) call.end();
    };
    call.on('drain', write);
    write();
  });
  return { ...callee, written: () => written, peak: () => peak };
}

describe('an answer', () => {
  it('of 10,000 lines arrives in order, one log call at a time', async () => {
    const texts = Array.from({ length: 10_000 }, (_, i) => `line ${i} ${'é'.repeat(i % 40)}`);
    const callee = await startGrpcCallee((call) => {
      for (const text of texts) call.write(bytesOf(log(text)));
      call.end();
    });
    let pending = 0;
    let most = 0;
    const context = recordedContext(async () => {
      most = Math.max(most, ++pending);
      await new Promise(setImmediate);
      pending--;
    });
    const result = await createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    expect(result.outcome).toBe('SUCCEEDED');
    expect(context.lines.map((line) => line.message)).toEqual(texts);
    expect(most).toBe(1);
    expect(context.calls.length).toBeLessThan(5_000);
  });

  it('is read no faster than its lines are stored, and holds up no other on its connection', async () => {
    const callee = await startRepeating(bytesOf(log('x'.repeat(1_000))), 20_000);
    const called = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      called.resolve();
      return stored.promise;
    }, 128 * MiB);
    const client = createGrpcClient();
    const delivered = client.deliver(grpcTarget(callee.address), sampleDelivery, context);
    await called.promise;
    // The callee goes on until the buffers between the two are full: turns without progress.
    for (let before = -1; before !== callee.written(); ) {
      before = callee.written();
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    }
    expect(callee.written()).toBeLessThan(1_000);
    expect(context.calls).toHaveLength(1);

    const other = recordedContext(undefined, 128 * MiB);
    const beside = client.deliver(grpcTarget(callee.address), sampleDelivery, other);
    expect((await beside).outcome).toBe('SUCCEEDED');
    expect(client.connectionCount).toBe(1);
    stored.resolve();
    expect((await delivered).outcome).toBe('SUCCEEDED');
    expect(context.lines.length + other.lines.length).toBe(20_000);
  });

  it('beyond the log limit is read to its end, in bounded memory', async () => {
    const message = bytesOf(log('x'.repeat(50_000)));
    const callee = await startRepeating(message, 2_048);
    const before = retainedMemory();
    const context = recordedContext(async () => {
      context.lines.splice(0, context.lines.length - 1);
    }, 2 * MiB);
    const client = createGrpcClient();
    const result = await client.deliver(grpcTarget(callee.address), sampleDelivery, context);
    expect(result.outcome).toBe('SUCCEEDED');
    expect(callee.written()).toBe(2_048);
    expect(context.lines).toEqual([{ level: 'WARN', message: 'log limit reached' }]);
    expect(context.calls.reduce((sum, n) => sum + n)).toBe(Math.floor((2 * MiB) / (message.length + 64)) + 1);
    expect(callee.peak() - before).toBeLessThan(10 * MiB);
  });

  it('of empty messages without end takes bounded memory until it is given up', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      const many = Buffer.alloc(50_000);
      const write = (): void => {
        if (!stream.destroyed) stream.write(many, write);
      };
      write();
    });
    const before = retainedMemory();
    const context = recordedContext();
    const delivered = createGrpcClient().deliver(grpcTarget(callee.address), sampleDelivery, context);
    for (let i = 0; i < 300; i++) await new Promise(setImmediate);
    expect(retainedMemory() - before).toBeLessThan(10 * MiB);
    context.abort();
    expect((await delivered).message).toBe('aborted');
    expect(context.lines).toEqual([]);
  });
});

it('fails an attempt whose answer has 300 trailers', async () => {
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-${i}`, 'x']));
  const callee = await startHttp2Callee((stream) => {
    stream.respond(answerHeaders, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ ...many, 'grpc-status': 0 }));
    stream.end();
  });
  const { result } = await deliverTo(grpcTarget(callee.address));
  expect(result).toMatchObject({ ...targetError, retryable: true });
});

describe('a message', () => {
  it('of exactly the bound is read', async () => {
    const overhead = bytesOf(log('x'.repeat(MiB - 100))).length - (MiB - 100);
    const message = bytesOf(log('x'.repeat(MiB - overhead)));
    expect(message.length).toBe(MiB);
    const callee = await startRepeating(message, 1);
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result.outcome).toBe('SUCCEEDED');
    expect(lines).toEqual([
      { level: 'INFO', message: `${'x'.repeat(65_536)}… (cut, ${MiB - overhead} bytes)` },
    ]);
  });

  it('beyond the bound fails the attempt for good, as soon as it is announced', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(MiB + 1, 1);
      stream.write(Buffer.concat([framed(bytesOf(log('before'))), prefix]));
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result).toEqual({
      ...targetError,
      message: `answer has a message of more than ${MiB} bytes`,
      retryable: false,
    });
    expect(lines).toEqual([{ level: 'INFO', message: 'before' }]);
    await new Promise<void>((resolve) => {
      if (callee.streams[0]?.closed) resolve();
      else callee.streams[0]?.once('close', resolve);
    });
  });

  it('that is announced and never sent takes no memory', async () => {
    const announced = Promise.withResolvers<void>();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(MiB, 1);
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      stream.write(prefix, () => {
        if (callee.streams.length === 50) announced.resolve();
      });
    });
    const before = retainedMemory();
    const client = createGrpcClient();
    const contexts = Array.from({ length: 50 }, () => recordedContext());
    const delivered = contexts.map((context) =>
      client.deliver(grpcTarget(callee.address), sampleDelivery, context),
    );
    await announced.promise;
    expect(retainedMemory() - before).toBeLessThan(10 * MiB);
    for (const context of contexts) context.abort();
    await Promise.all(delivered);
  });

  it('that is compressed fails the attempt for good, though nobody asked for it', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond({ ...answerHeaders, 'grpc-encoding': 'gzip' });
      stream.write(framed(Buffer.alloc(20), 1));
    });
    expect((await deliverTo(grpcTarget(callee.address))).result).toEqual({
      ...targetError,
      message: 'answer has a compressed message, which is not accepted',
      retryable: false,
    });
  });

  it('of a callee that compresses where it may is plain', async () => {
    const callee = await startGrpcCallee(
      (call) => {
        call.write(bytesOf(log('x'.repeat(10_000))));
        call.end();
      },
      { server: { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip } },
    );
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result.outcome).toBe('SUCCEEDED');
    expect(lines).toHaveLength(1);
  });

  it.each([
    ['too much', { a: 'x'.repeat(70_000) }, /^x \(data left out, 700\d\d bytes\)$/],
    ['too deep', deepObject(40), /^x \(data left out, deeper than 32 levels\)$/],
    ['deep enough to exhaust a stack', deepObject(5_000), /./],
  ])('with data that is %s is a line that says so, or none at all', async (_what, data, expected) => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders);
      stream.write(framed(bytesOfNested(data)));
      stream.end();
    });
    const { result, lines } = await deliverTo(grpcTarget(callee.address));
    expect(result.outcome).toBe('FAILED');
    const [line] = lines;
    if (line) {
      expect(line.message).toMatch(expected);
      expect(line).not.toHaveProperty('data');
    } else {
      expect(result.message).toBe('answer has a message that is no TargetServiceRunResponse');
    }
  });
});

function deepObject(levels: number): object {
  let object: object = {};
  for (let level = 1; level < levels; level++) object = { a: object };
  return object;
}

/** A log line with this data, encoded from the inside out, so that no depth is too much for the test itself. */
function bytesOfNested(data: object): Buffer {
  const field = (tag: number, content: Buffer): Buffer => {
    const length: number[] = [];
    for (let rest = content.length; ; rest >>>= 7) {
      length.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
      if (rest <= 0x7f) break;
    }
    return Buffer.concat([Buffer.from([tag, ...length]), content]);
  };
  const chain: (object | string)[] = [data];
  for (let at: object | string = data; typeof at === 'object' && 'a' in at; ) {
    at = at.a as object | string;
    chain.push(at);
  }
  let content: Buffer = Buffer.alloc(0);
  for (const value of chain.reverse()) {
    if (typeof value === 'string') {
      content = field(0x1a, Buffer.from(value));
      continue;
    }
    const isInnermost = !('a' in value);
    const struct: Buffer = isInnermost
      ? Buffer.alloc(0)
      : field(0x0a, Buffer.concat([field(0x0a, Buffer.from('a')), field(0x12, content)]));
    content = value === data ? struct : field(0x2a, struct);
  }
  const line = Buffer.concat([field(0x12, Buffer.from('x')), field(0x1a, content)]);
  return field(0x0a, line);
}
