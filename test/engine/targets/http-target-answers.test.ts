import { describe, expect, it } from 'vitest';
import { usedUpBytes } from '../../../src/engine/targets/log-allowance.ts';
import { deliverTo, HandClock, httpTarget } from './http/attempt.ts';
import { startCallee } from './http/callee.ts';

const succeeded = { outcome: 'SUCCEEDED', message: '', retryable: false };
const accepted = { outcome: 'ACCEPTED', message: '', retryable: false };
const longObject = JSON.stringify({ a: 'x'.repeat(70_000) });

/** A callee that answers with this status, these headers and this body. */
const answering = (status: number, headers: Record<string, string | string[]> = {}, body?: string) =>
  startCallee((_request, response) => response.writeHead(status, headers).end(body));

describe('the status', () => {
  it.each([
    [200, [], true],
    [202, [202], true],
    [299, [], true],
    [404, [404], true],
    [302, [302], true],
    [200, [201], false],
  ] as [number, number[], boolean][])(
    '%d with success codes %j succeeds: %s',
    async (status, successCodes, fine) => {
      const callee = await answering(status);
      const { result } = await deliverTo(httpTarget(callee.origin, { successCodes }));
      expect(result.outcome).toBe(fine ? 'SUCCEEDED' : 'FAILED');
    },
  );

  it('fails by 404 with the text of the body, which is not logged', async () => {
    const callee = await answering(404, { 'content-type': 'text/html' }, '<h1>No\n\u001b[1msuch</h1>');
    expect(await deliverTo(httpTarget(callee.origin))).toEqual({
      result: {
        outcome: 'FAILED',
        reason: 'TARGET_ERROR',
        message: 'HTTP 404 Not Found: <h1>No [1msuch</h1>',
        retryable: false,
      },
      lines: [],
    });
  });

  it.each([[[]], [[200]]])(
    '202 with success codes %j means that the callee will report later',
    async (successCodes) => {
      const callee = await answering(202);
      const { result, lines } = await deliverTo(httpTarget(callee.origin, { successCodes }));
      expect(result).toEqual({ ...accepted, loggedBytes: 0 });
      expect(lines).toEqual([]);
    },
  );

  it('waits as long as a 429 asks for', async () => {
    const callee = await answering(429, { 'retry-after': '30' }, 'slow down');
    expect((await deliverTo(httpTarget(callee.origin))).result).toEqual({
      outcome: 'FAILED',
      reason: 'TARGET_ERROR',
      message: 'HTTP 429 Too Many Requests: slow down',
      retryable: true,
      retryAfterMs: 30_000,
    });
  });

  it('counts a Retry-After date from now', async () => {
    const callee = await answering(503, { 'retry-after': 'Sun, 29 Mar 2026 01:31:00 GMT' });
    const { result } = await deliverTo(httpTarget(callee.origin), { clock: new HandClock() });
    expect(result).toMatchObject({ retryable: true, retryAfterMs: 60_000 });
  });

  it.each([301, 302, 303, 307, 308])('%d is a failure and not followed', async (status) => {
    const elsewhere = await answering(200);
    const callee = await answering(status, { location: `${elsewhere.origin}/secret` });
    const { result } = await deliverTo(httpTarget(callee.origin));
    expect(result).toMatchObject({ outcome: 'FAILED', retryable: false });
    expect(result.message).toMatch(/^HTTP 30\d [A-Z][A-Za-z ]+ \(redirects are not followed\)$/);
    expect(callee.received).toHaveLength(1);
    expect(elsewhere.accepted()).toBe(0);
  });

  it('is the final one: interim responses are passed over', async () => {
    const callee = await startCallee((_request, response) => {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' });
      response.writeProcessing();
      response.writeHead(404).end('nothing here');
    });
    expect((await deliverTo(httpTarget(callee.origin))).result.message).toBe(
      'HTTP 404 Not Found: nothing here',
    );
  });
});

describe('the body', () => {
  it.each<[string, string, string, object, string[]]>([
    ['a JSON object', 'application/json', ' {"a":{"b":[1]}}\n', { result: { a: { b: [1] } } }, []],
    ['a JSON object of any type', 'text/plain', '{"a":1}', { result: { a: 1 } }, []],
    ['a JSON list', 'application/json', '[1,2]\n', {}, ['[1,2]']],
    ['text of two lines', 'text/plain; charset=utf-8', 'done ü\nbye\n', {}, ['done ü\nbye']],
    ['blanks', 'text/plain', ' \n', {}, []],
    ['nothing', 'application/json', '', {}, []],
    ['broken JSON', 'application/json', '{"a":', {}, ['{"a":']],
  ])('of %s', async (_what, type, body, rest, messages) => {
    const callee = await answering(200, { 'content-type': type }, body);
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({ ...succeeded, ...rest });
    expect(lines).toEqual(messages.map((message) => ({ level: 'INFO', message })));
  });

  it('without a type is read like any other', async () => {
    const callee = await answering(200, {}, '{"a":1}');
    expect((await deliverTo(httpTarget(callee.origin))).result).toEqual({ ...succeeded, result: { a: 1 } });
  });

  it.each<[string, string, string, string[]]>([
    ['a JSON object', 'application/json', '{"job":"j-7"}', ['{"job":"j-7"}']],
    ['text', 'text/plain', 'queued\n', ['queued']],
    [
      'a long JSON object',
      'application/json',
      longObject,
      [`${longObject.slice(0, 65_536)}… (cut, 70008 bytes)`],
    ],
  ])('of a 202 is logged and no result: %s', async (_what, type, body, messages) => {
    const callee = await answering(202, { 'content-type': type }, body);
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({ ...accepted, loggedBytes: 0 });
    expect(lines).toEqual(messages.map((message) => ({ level: 'INFO', message })));
  });

  it('of a 202 that streams lines logs them first, and tells what they cost', async () => {
    const callee = await answering(
      202,
      { 'content-type': 'application/x-ndjson' },
      'a\n{"result":{"b":1}}\n',
    );
    const { result, lines } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({ ...accepted, loggedBytes: 65 });
    expect(lines.map(({ message }) => message)).toEqual(['a', '{"b":1}']);
  });

  it('of a 202 that uses up the log says so once, and so does what it cost', async () => {
    const callee = await answering(202, { 'content-type': 'application/x-ndjson' }, 'a\nb\nc\n');
    const { result, lines } = await deliverTo(httpTarget(callee.origin), { maxLogBytes: 100 });
    expect(result).toEqual({ ...accepted, loggedBytes: usedUpBytes });
    expect(lines.map(({ message }) => message)).toEqual(['a', 'log limit reached']);
  });

  it('of a 202 that streams an error fails the attempt', async () => {
    const callee = await answering(202, { 'content-type': 'application/x-ndjson' }, '{"error":"full"}\n');
    expect((await deliverTo(httpTarget(callee.origin))).result).toMatchObject({
      outcome: 'FAILED',
      message: 'full',
      retryable: true,
    });
  });

  it('that arrives in many chunks is one', async () => {
    const callee = await startCallee((_request, response) => {
      const bytes = Buffer.from(JSON.stringify({ text: 'ä😀'.repeat(50) }));
      const writeFrom = (at: number): void => {
        if (at >= bytes.length) response.end();
        else response.write(bytes.subarray(at, at + 7), () => writeFrom(at + 7));
      };
      writeFrom(0);
    });
    const { result } = await deliverTo(httpTarget(callee.origin));
    expect(result).toEqual({ ...succeeded, result: { text: 'ä😀'.repeat(50) } });
  });
});
