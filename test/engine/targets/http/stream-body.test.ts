import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogLine } from '../../../../src/domain/execution.ts';
import { noMask } from '../../../../src/engine/secrets/answer-mask.ts';
import { StreamBody, type StreamFormat } from '../../../../src/engine/targets/http/stream-body.ts';
import { chunked } from './chunked.ts';
import { retainedMemory } from './retained-memory.ts';

function read(format: StreamFormat, chunks: readonly Buffer[], maxLineBytes = 1_000, maxLogBytes = 100_000) {
  const body = new StreamBody({ format, maxLineBytes, maxLogBytes, mask: noMask });
  const lines: LogLine[] = [];
  for (const chunk of chunks) lines.push(...body.push(chunk));
  lines.push(...body.end());
  return { lines, result: body.result, error: body.error };
}

const ndjson = (text: string) => read('ndjson', [Buffer.from(text)]);
const events = (text: string) => read('event-stream', [Buffer.from(text)]);
const info = (message: string): LogLine => ({ level: 'INFO', message });

describe('NDJSON', () => {
  it.each<[string, LogLine]>([
    ['plain words', info('plain words')],
    ['  indented', info('  indented')],
    ['42', info('42')],
    ['"text"', info('"text"')],
    ['[{"message":"a"}]', info('[{"message":"a"}]')],
    ['{"message":', info('{"message":')],
    ['{"message":"a"}', info('a')],
    ['{"msg":"a"}', info('a')],
    ['{"message":""}', info('')],
    ['{"message":"a","level":"debug"}', { level: 'DEBUG', message: 'a' }],
    ['{"message":"a","level":"Info"}', info('a')],
    ['{"message":"a","level":"WARN"}', { level: 'WARN', message: 'a' }],
    ['{"message":"a","level":"warning"}', { level: 'WARN', message: 'a' }],
    ['{"message":"a","level":"ERROR"}', { level: 'ERROR', message: 'a' }],
    ['{"message":"a","level":"fatal"}', { ...info('a'), data: { level: 'fatal' } }],
    ['{"msg":"a","level":30}', { ...info('a'), data: { level: 30 } }],
    ['{"msg":"a","level":"constructor"}', { ...info('a'), data: { level: 'constructor' } }],
    [
      '{"message":"a","time":"2026-01-02T03:04:05.6Z"}',
      { ...info('a'), at: new Date('2026-01-02T03:04:05.6Z') },
    ],
    [
      '{"msg":"a","timestamp":"2026-01-02T03:04:05+02:00"}',
      { ...info('a'), at: new Date('2026-01-02T01:04:05Z') },
    ],
    ['{"message":"a","time":"2026-01-02T03:04:05"}', { ...info('a'), data: { time: '2026-01-02T03:04:05' } }],
    [
      '{"message":"a","time":"2026-13-02T03:04:05Z"}',
      { ...info('a'), data: { time: '2026-13-02T03:04:05Z' } },
    ],
    ['{"message":"a","time":1700000000}', { ...info('a'), data: { time: 1_700_000_000 } }],
    ['{"message":"a","data":{"b":1}}', { ...info('a'), data: { b: 1 } }],
    ['{"message":"a","data":{"b":1},"b":2,"c":3}', { ...info('a'), data: { b: 1, c: 3 } }],
    ['{"message":"a","data":[1]}', { ...info('a'), data: { data: [1] } }],
    ['{"message":"a","msg":"b"}', { ...info('a'), data: { msg: 'b' } }],
    ['{"message":"a","error":"b"}', { ...info('a'), data: { error: 'b' } }],
    ['{"message":"a","result":{}}', { ...info('a'), data: { result: {} } }],
    ['{"message":7}', info('{"message":7}')],
    ['{"progress":7,"level":"warn"}', { level: 'WARN', message: '{"progress":7,"level":"warn"}' }],
    ['{"result":5}', info('{"result":5}')],
    ['{"error":{"code":5}}', info('{"error":{"code":5}}')],
    ['{}', info('{}')],
    ['a\0b', info('a\ufffdb')],
    ['{"message":"a\\u0000b"}', info('a\ufffdb')],
  ])('reads %s', (text, line) => {
    expect(ndjson(`${text}\n`)).toEqual({ lines: [line], result: undefined, error: undefined });
  });

  it('keeps a member named __proto__ as data', () => {
    const [line] = ndjson('{"message":"a","__proto__":{"x":1}}').lines;
    expect(Object.entries(line?.data ?? {})).toEqual([['__proto__', { x: 1 }]]);
  });

  it('says nothing for blank lines', () => {
    expect(ndjson('\n \r\n\t\n').lines).toEqual([]);
  });

  it('takes the last result', () => {
    expect(ndjson('{"result":{"a":1}}\ntext\n{"result":{"b":2}}')).toEqual({
      lines: [info('text')],
      result: { b: 2 },
      error: undefined,
    });
  });

  it('fails with the first error; later ones are ERROR lines', () => {
    expect(ndjson('{"error":"first"}\nstill here\n{"error":"second"}\n')).toEqual({
      lines: [info('still here'), { level: 'ERROR', message: 'second' }],
      result: undefined,
      error: 'first',
    });
  });

  it('cuts a line beyond the bound and gives it no meaning', () => {
    const long = `{"error":"${'x'.repeat(2_000)}"}`;
    expect(ndjson(`${long}\nnext`)).toEqual({
      lines: [info(`${long.slice(0, 1_000)}… (cut, 2012 bytes)`), info('next')],
      result: undefined,
      error: undefined,
    });
  });

  it('stops logging at the limit, says so once, and still hears result and error', () => {
    const text = `${'12345\n'.repeat(5)}{"result":{"a":1}}\n{"error":"late"}\nmore\n`;
    expect(read('ndjson', [Buffer.from(text)], 1_000, 4 * (5 + 64))).toEqual({
      lines: [
        ...Array.from({ length: 4 }, () => info('12345')),
        { level: 'WARN', message: 'log limit reached' },
      ],
      result: { a: 1 },
      error: 'late',
    });
  });
});

describe('event stream', () => {
  it('lets no line past the log limit once it is reached, however short', () => {
    const text = `data: 12345\n\nevent: log\ndata: ${'x'.repeat(900)}\n\nevent: log\ndata: a\n\nevent: log\ndata: b\n\n`;
    expect(read('event-stream', [Buffer.from(text)], 1_000, 400).lines).toEqual([
      info('12345'),
      { level: 'WARN', message: 'log limit reached' },
    ]);
  });

  it.each<[string, LogLine[]]>([
    ['data: a\n\n', [info('a')]],
    ['data:a\n\n', [info('a')]],
    ['data:  a\n\n', [info(' a')]],
    ['data: a\ndata: b\n\n', [info('a\nb')]],
    ['data: a\r\n\r\ndata: b\r\n\r\n', [info('a'), info('b')]],
    ['data: a\r\rdata: b\r\r', [info('a'), info('b')]],
    ['data: {"message":"a","level":"warn"}\n\n', [{ level: 'WARN', message: 'a' }]],
    ['data: {"message":\ndata: "a"}\n\n', [info('a')]],
    ['event: log\ndata: a\n\n', [info('a')]],
    ['event: message\ndata: a\n\n', [info('a')]],
    ['event: log\ndata: a\n\ndata: b\n\n', [info('a'), info('b')]],
    [': comment\nid: 7\nretry: 10\ndata: a\n\n', [info('a')]],
    ['event: ping\ndata: a\n\n', []],
    ['event: log\n\n', []],
    ['data\n\n', []],
    ['data: a', [info('a')]],
    ['\ufeffdata: a\n\n', [info('a')]],
    ['database: a\n\n', []],
    ['event: result\ndata: 5\n\n', [info('5')]],
  ])('reads %j', (text, lines) => {
    expect(events(text)).toEqual({ lines, result: undefined, error: undefined });
  });

  it('takes the result from its event and from a default event', () => {
    expect(events('event: result\ndata: {"a":1}\n\n').result).toEqual({ a: 1 });
    expect(events('data: {"result":{"a":1}}\n\n').result).toEqual({ a: 1 });
  });

  it.each([
    ['event: error\ndata: disk full\n\n', 'disk full'],
    ['event: error\ndata: {"message":"disk full","code":28}\n\n', 'disk full'],
    ['event: error\ndata: {"error":"disk full"}\n\n', 'disk full'],
    ['event: error\ndata: {"code":28}\n\n', '{"code":28}'],
    ['event: error\ndata\n\n', ''],
    ['data: {"error":"disk full"}\n\n', 'disk full'],
  ])('fails by %j', (text, error) => {
    expect(events(text)).toEqual({ lines: [], result: undefined, error });
  });

  it('keeps data of exactly the bound and cuts what is longer, in one line or in many', () => {
    const exact = 'x'.repeat(1_000);
    expect(events(`data: ${exact}\n\n`).lines).toEqual([info(exact)]);
    expect(events(`data: ${exact}y\n\n`).lines).toEqual([info(`${exact}… (cut, 1001 bytes)`)]);
    const many = 'data: 123456789\n'.repeat(500);
    expect(events(`${many}\n`).lines).toEqual([info(`${'123456789\n'.repeat(100)}… (cut, 4999 bytes)`)]);
  });

  it('keeps no more of an endless event than the bound', () => {
    const body = new StreamBody({
      format: 'event-stream',
      maxLineBytes: 1_000,
      maxLogBytes: 100_000,
      mask: noMask,
    });
    const chunk = Buffer.from('data: 123456789\n'.repeat(4_096));
    const before = retainedMemory();
    for (let i = 0; i < 160; i++) expect(body.push(chunk)).toEqual([]);
    expect(retainedMemory() - before).toBeLessThan(3 * 1_048_576);
    expect(body.end()[0]?.message).toHaveLength(1_000 + '… (cut, 6553599 bytes)'.length);
  });
});

describe('chunks', () => {
  const lines = [
    'plain 😀 words',
    '{"message":"é","level":"warn","n":1}',
    '{"result":{"a":"ü"}}',
    '{"error":"kaputt — ö"}',
    'x'.repeat(60),
    '',
    '\ufeff',
  ];
  const fields = [
    'data: a',
    'data: {"message":"😀"}',
    'event: error',
    'event: result',
    'data: {"b":1}',
    ': c',
    '',
    '',
  ];
  const ends = fc.constantFrom('\n', '\r\n');

  it.each([
    ['ndjson', fc.constantFrom(...lines), ends],
    ['event-stream', fc.constantFrom(...fields), fc.constantFrom('\n', '\r\n', '\r')],
  ] as const)('mean the same wherever they break in %s', (format, line, end) => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, end), { maxLength: 15 }),
        fc.array(fc.nat()),
        fc.boolean(),
        (parts, cuts, endsOpen) => {
          const text = parts.flat().join('');
          const bytes = Buffer.from(endsOpen ? text.trimEnd() : text);
          const readIn = (chunks: readonly Buffer[]) => read(format, chunks, 40, 500);
          const whole = readIn([bytes]);
          expect(readIn(chunked(bytes, cuts))).toEqual(whole);
          expect(readIn([...bytes].map((byte) => Buffer.of(byte)))).toEqual(whole);
        },
      ),
      { numRuns: 300 },
    );
  });
});
