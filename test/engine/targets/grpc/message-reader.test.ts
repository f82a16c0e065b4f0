import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageReader } from '../../../../src/engine/targets/grpc/message-reader.ts';
import { chunked } from '../http/chunked.ts';
import { framed } from './callee.ts';

/** Everything that a reader makes of these chunks. */
function readAll(maxBytes: number, chunks: readonly Buffer[]) {
  const reader = new MessageReader(maxBytes);
  const messages = chunks.flatMap((chunk) => reader.push(chunk));
  return { messages: messages.map((message) => message.toString('hex')), fault: reader.fault };
}

describe('a reader of messages', () => {
  it('reads the same wherever the chunks break', () => {
    const message = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.array(message), fc.array(fc.nat(3_000), { maxLength: 8 }), (messages, cuts) => {
        const bytes = Buffer.concat(messages.map((each) => framed(each)));
        expect(readAll(300, chunked(bytes, cuts))).toEqual({
          messages: messages.map((each) => each.toString('hex')),
          fault: undefined,
        });
      }),
    );
  });

  it.each([
    ['too long', framed(Buffer.alloc(11))],
    ['compressed', framed(Buffer.alloc(1), 1)],
    ['compressed', framed(Buffer.alloc(1), 255)],
  ])('stops at a message that is %s, after those before it', (fault, bad) => {
    const bytes = Buffer.concat([framed(Buffer.from('a')), bad, framed(Buffer.from('b'))]);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(readAll(10, chunked(bytes, [cut]))).toEqual({ messages: ['61'], fault });
    }
  });

  it('hands out messages that do not change with what follows', () => {
    const reader = new MessageReader(10);
    const chunk = framed(Buffer.from('first'));
    const [message] = reader.push(chunk);
    chunk.fill(0);
    reader.push(framed(Buffer.from('other')));
    expect(message?.toString()).toBe('first');
  });
});
