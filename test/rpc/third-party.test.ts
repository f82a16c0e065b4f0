import { readFileSync } from 'node:fs';
import { file_buf_validate_validate as theirs } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { describe, expect, it } from 'vitest';

/**
 * The trimmed copy is a proto file and not generated code, so its numbers are
 * read out of the text: declarations of messages, enums and numbered members.
 */
const trimmed = readFileSync(
  new URL('../../third_party/buf/validate/validate.proto', import.meta.url),
  'utf8',
);

type Member = readonly [owner: string, name: string, number: number];

function membersOf(proto: string): Member[] {
  const members: Member[] = [];
  let owner = '';
  for (const line of proto.split('\n')) {
    owner = /^(?:message|enum|extend) ([\w.]+) \{/.exec(line)?.[1] ?? owner;
    const member = /^\s+(?:(?:optional|repeated) )?(?:[\w.]+ )?(\w+) = (\d+);/.exec(line);
    if (member !== null) members.push([owner, member[1] as string, Number(member[2])]);
  }
  return members;
}

function numberInPackage(owner: string, name: string): number | undefined {
  const extension = theirs.extensions.find((each) => each.extendee.typeName === owner && each.name === name);
  const message = theirs.messages.find((each) => each.name === owner);
  const enumeration = theirs.enums.find((each) => each.name === owner);
  return (
    extension?.number ??
    message?.fields.find((field) => field.name === name)?.number ??
    enumeration?.values.find((value) => value.name === name)?.number
  );
}

describe('third_party/buf/validate', () => {
  const members = membersOf(trimmed);

  it('is read in full', () => {
    expect(members.length).toBe(trimmed.match(/ = \d+;/g)?.length);
    expect(members).toContainEqual(['StringRules', 'max_bytes', 5]);
    expect(members).toContainEqual(['google.protobuf.FieldOptions', 'field', 1159]);
  });

  it.each(members)(
    '%s.%s has the number %i, as in the package that evaluates the rules',
    (owner, name, number) => {
      expect(numberInPackage(owner, name)).toBe(number);
    },
  );
});
