import fc from 'fast-check';
import { expect, it } from 'vitest';
import { noMask } from '../../../../src/engine/secrets/answer-mask.ts';
import { SocketAnswer } from '../../../../src/engine/targets/socket/socket-answer.ts';
import { chunked } from '../http/chunked.ts';

it('means the same wherever the chunks break', () => {
  const line = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom(
      '{"message":"é","level":"warn"}',
      '{"result":{"a":"é"}}',
      '{"state":"FAILED","message":"é"}',
      '{"error":"no"}',
      '{"accepted":true}',
      '{"accepted":true,"message":"é"}',
      'x'.repeat(300),
    ),
  );
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 8 }),
      fc.constantFrom('\n', '\r\n'),
      fc.array(fc.nat(3_000), { maxLength: 8 }),
      (lines, lineEnd, cuts) => {
        const bytes = Buffer.from(lines.join(lineEnd));
        const read = (chunks: readonly Buffer[]) => {
          const answer = new SocketAnswer({ maxLineBytes: 250, maxLogBytes: 1_000, mask: noMask });
          const heard = chunks.flatMap((chunk) => (answer.end ? [] : answer.push(chunk)));
          return { heard: [...heard, ...answer.close()], end: answer.end };
        };
        expect(read(chunked(bytes, cuts))).toEqual(read([bytes]));
      },
    ),
  );
});
