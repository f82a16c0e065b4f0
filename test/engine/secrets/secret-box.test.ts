import { expect, it } from 'vitest';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';

const [key, newKey, otherKey] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [Buffer, Buffer, Buffer];
const name = { namespace: 'default', name: 'hook' };
const value = Buffer.from('the value of the secret!');

it('opens what it has sealed, and seals the same value to other bytes each time', () => {
  const box = new SecretBox([key]);
  const sealed = box.seal(name, value);
  expect(box.open(name, sealed)).toEqual(value);
  expect(sealed.includes(value)).toBe(false);
  expect(box.seal(name, value)).not.toEqual(sealed);
});

it('seals under the first key and opens under every one', () => {
  const sealed = new SecretBox([key]).seal(name, value);
  const box = new SecretBox([newKey, key]);
  expect(box.open(name, sealed)).toEqual(value);
  const again = box.seal(name, value);
  expect(new SecretBox([newKey]).open(name, again)).toEqual(value);
  expect(new SecretBox([key]).open(name, again)).toBeUndefined();
});

it('tells its keys apart by ids that tell nothing of them, and which one a value is under', () => {
  const box = new SecretBox([newKey, key]);
  expect(box.keyIds).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/), ...new SecretBox([key]).keyIds]);
  expect(new Set(box.keyIds).size).toBe(2);
  expect(box.find(name, new SecretBox([key]).seal(name, value))).toEqual({ value, key: 1 });
  expect(box.find(name, box.seal(name, value))).toEqual({ value, key: 0 });
  expect(box.find(name, new SecretBox([otherKey]).seal(name, value))).toBeUndefined();
});

it.each<[string, (sealed: Buffer) => Buffer | undefined]>([
  ['under another key', (sealed) => new SecretBox([otherKey]).open(name, sealed)],
  ['without a key', (sealed) => new SecretBox([]).open(name, sealed)],
  ['as a secret of another name', (sealed) => new SecretBox([key]).open({ ...name, name: 'other' }, sealed)],
  ['as one of another namespace', (sealed) => new SecretBox([key]).open({ ...name, namespace: 'a' }, sealed)],
  ['when its end is cut off', (sealed) => new SecretBox([key]).open(name, sealed.subarray(0, -1))],
  ['when it is too short', (sealed) => new SecretBox([key]).open(name, sealed.subarray(0, 20))],
  ['of another version', (sealed) => new SecretBox([key]).open(name, Buffer.of(2, ...sealed.subarray(1)))],
])('does not open a value %s', (_, open) => {
  expect(open(new SecretBox([key]).seal(name, value))).toBeUndefined();
});

it('does not open a value with any bit of it turned', () => {
  const box = new SecretBox([key]);
  const sealed = box.seal(name, value);
  for (let at = 0; at < sealed.length; at++) {
    const turned = Buffer.from(sealed);
    turned[at]! ^= 1;
    expect(box.open(name, turned)).toBeUndefined();
  }
});

it('cannot seal without a key', () => {
  const box = new SecretBox([]);
  expect(box.canSeal).toBe(false);
  expect(() => box.seal(name, value)).toThrow('no key');
});
