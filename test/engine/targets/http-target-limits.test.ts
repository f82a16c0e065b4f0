import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createClient, deliverTo, httpTarget, recordedContext, sampleDelivery } from './http/attempt.ts';
import { startCallee } from './http/callee.ts';
import { retainedMemory } from './http/retained-memory.ts';

const MiB = 1_048_576;

/** A callee that writes the chunk again and again, up to `times`, as fast as it is read. */
async function startRepeating(type: string, chunk: Buffer | string, times: number) {
  let written = 0;
  let peak = 0;
  const callee = await startCallee((_request, response) => {
    const write = (): void => {
      while (written < times && !response.destroyed) {
        written++;
        if (written % 256 === 0) peak = Math.max(peak, retainedMemory());
        if (!response.write(chunk)) return;
      }
      response.end();
    };
    response.on('drain', write);
    response.writeHead(200, { 'content-type': type });
    write();
  });
  return { ...callee, written: () => written, peak: () => peak };
}

describe('a stream', () => {
  it('of 10,000 lines arrives in order, one log call at a time', async () => {
    const texts = Array.from({ length: 10_000 }, (_, i) => `line ${i} ${'é'.repeat(i % 40)}`);
    const callee = await startCallee((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      for (const message of texts) response.write(`${JSON.stringify({ message })}\n`);
      response.end('{"result":{"lines":10000}}');
    });
    let pending = 0;
    let most = 0;
    const context = recordedContext(async () => {
      most = Math.max(most, ++pending);
      await new Promise(setImmediate);
      pending--;
    });
    const result = await createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    expect(result.result).toEqual({ lines: 10_000 });
    expect(context.lines.map((line) => line.message)).toEqual(texts);
    expect(most).toBe(1);
    expect(context.calls.length).toBeLessThan(1_000);
  });

  it('is read no faster than its lines are stored', async () => {
    const callee = await startRepeating('application/x-ndjson', `${'x'.repeat(1_023)}\n`.repeat(64), 1_024);
    const called = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const context = recordedContext(() => {
      called.resolve();
      return stored.promise;
    }, 128 * MiB);
    const delivered = createClient().deliver(httpTarget(callee.origin), sampleDelivery, context);
    await called.promise;
    // The callee goes on until the buffers between the two are full: two turns without progress.
    for (let before = -1; before !== callee.written(); ) {
      before = callee.written();
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    }
    expect(callee.written()).toBeLessThan(512);
    expect(context.calls).toHaveLength(1);
    stored.resolve();
    expect((await delivered).outcome).toBe('SUCCEEDED');
    expect(context.lines).toHaveLength(65_536);
  });

  it('with a line of 10 MB logs its beginning', async () => {
    const callee = await startCallee((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.end(`${'é'.repeat(5_000_000)}\r\nnext\n`);
    });
    expect((await deliverTo(httpTarget(callee.origin))).lines).toEqual([
      { level: 'INFO', message: `${'é'.repeat(32_768)}… (cut, 10000000 bytes)` },
      { level: 'INFO', message: 'next' },
    ]);
  });

  it('beyond the log limit is read to its end, in bounded memory', async () => {
    const line = `{"message":"${'x'.repeat(1_000)}"}\n`;
    const callee = await startRepeating('text/event-stream', `data: ${line}\n`.repeat(64), 2_048);
    const before = retainedMemory();
    const context = recordedContext(async () => {
      context.lines.splice(0, context.lines.length - 1);
    }, 2 * MiB);
    const client = createClient();
    expect((await client.deliver(httpTarget(callee.origin), sampleDelivery, context)).outcome).toBe(
      'SUCCEEDED',
    );
    expect(callee.written()).toBe(2_048);
    expect(context.lines).toEqual([{ level: 'WARN', message: 'log limit reached' }]);
    expect(context.calls.reduce((sum, n) => sum + n)).toBe(
      Math.floor((2 * MiB) / (line.length - 1 + 64)) + 1,
    );
    expect(callee.peak() - before).toBeLessThan(10 * MiB);
  });

  it('without a single line end takes bounded memory', async () => {
    const callee = await startRepeating('application/x-ndjson', Buffer.alloc(65_536, 'x'), 2_048);
    const before = retainedMemory();
    const { lines } = await deliverTo(httpTarget(callee.origin));
    expect(callee.peak() - before).toBeLessThan(10 * MiB);
    expect(lines).toEqual([{ level: 'INFO', message: `${'x'.repeat(65_536)}… (cut, ${128 * MiB} bytes)` }]);
  });
});

describe('a plain body', () => {
  it('without an end is cut, and its connection closed', async () => {
    const callee = await startRepeating(
      'application/json',
      Buffer.alloc(65_536, '{"a":1} '),
      Number.POSITIVE_INFINITY,
    );
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({ outcome: 'SUCCEEDED', message: '', retryable: false });
    expect(lines).toEqual([
      { level: 'INFO', message: `${'{"a":1} '.repeat(8_192)}… (cut, over ${MiB} bytes)` },
    ]);
    expect(callee.written()).toBeLessThan(512);
  });

  it('without an end fails by its status all the same', async () => {
    const callee = await startCallee((_request, response) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      const write = (): void => {
        if (!response.destroyed) response.write('no space left\n'.repeat(5_000), write);
      };
      write();
    });
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result.message).toBe(
      `HTTP 500 Internal Server Error: ${'no space left '.repeat(40).slice(0, 500)}…`,
    );
    expect(lines).toEqual([]);
  });

  it('of exactly the bound is read whole', async () => {
    const body = `{"a":"${'x'.repeat(MiB - 8)}"}`;
    const callee = await startCallee((_request, response) => response.end(body));
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result.result).toEqual({ a: 'x'.repeat(MiB - 8) });
    expect(lines).toEqual([]);
  });

  it('longer than a line is cut between characters', async () => {
    const callee = await startCallee((_request, response) => response.end(`x${'é'.repeat(40_000)}`));
    const { lines } = await deliverTo(httpTarget(callee.origin));
    expect(lines).toEqual([{ level: 'INFO', message: `x${'é'.repeat(32_767)}… (cut, 80001 bytes)` }]);
  });

  it('that is no text is not shown', async () => {
    const bytes = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff, 0x00]);
    const callee = await startCallee((_request, response) => response.end(bytes));
    const { lines } = await deliverTo(httpTarget(callee.origin));
    expect(lines).toEqual([{ level: 'INFO', message: 'response body is not text (6 bytes)' }]);
  });

  it('that nests too deeply for whoever reads it is text', async () => {
    const body = `{"a":${'['.repeat(50)}${']'.repeat(50)}}`;
    const callee = await startCallee((_request, response) => response.end(body));
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).not.toHaveProperty('result');
    expect(lines).toEqual([{ level: 'INFO', message: body }]);
  });
});

describe('a compressed body', () => {
  const compressed = gzipSync(Buffer.alloc(64 * MiB, '{"message":"bomb"}\n'));
  const send = (response: ServerResponse, status: number, type: string) =>
    response.writeHead(status, { 'content-type': type, 'content-encoding': 'GZIP' }).end(compressed);

  it.each(['application/json', 'application/x-ndjson'])('of %s is not inflated', async (type) => {
    const callee = await startCallee((_request, response) => send(response, 200, type));
    const before = retainedMemory();
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(retainedMemory() - before).toBeLessThan(10 * MiB);
    expect(result).toEqual({ outcome: 'SUCCEEDED', message: '', retryable: false });
    expect(lines).toEqual([
      { level: 'WARN', message: 'response body not read: content-encoding gzip is not accepted' },
    ]);
  });

  it('of a failure is not quoted', async () => {
    const callee = await startCallee((_request, response) => send(response, 500, 'text/plain'));
    expect((await deliverTo(httpTarget(callee.origin))).result.message).toBe(
      'HTTP 500 Internal Server Error',
    );
  });
});
