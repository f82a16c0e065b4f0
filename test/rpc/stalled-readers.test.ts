import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { StalledReaders } from '../../src/rpc/stalled-readers.ts';

const limitMs = 100;

/** A reader that takes a message when the test says so. */
function slowReader() {
  const taken: (() => void)[] = [];
  const writable = new Writable({
    highWaterMark: 1_000,
    write: (_chunk, _encoding, callback) => void taken.push(callback),
  });
  const readers = new StalledReaders(limitMs);
  let isCut = false;
  readers.add(writable, () => {
    isCut = true;
  });
  return {
    readers,
    writable,
    isCut: () => isCut,
    async take(): Promise<void> {
      taken.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('a reader', () => {
  it('is cut off when it takes nothing for as long as the limit', () => {
    const { readers, writable, isCut } = slowReader();
    writable.write(Buffer.alloc(10));
    readers.look(0);
    readers.look(limitMs - 1);
    expect(isCut()).toBe(false);
    readers.look(limitMs);
    expect(isCut()).toBe(true);
  });

  it('is left alone while nothing waits for it', () => {
    const { readers, isCut } = slowReader();
    for (let i = 0; i < 5; i++) readers.look(i * limitMs);
    expect(isCut()).toBe(false);
  });

  it.each([10, 2_000])(
    'is left alone as long as it takes a message now and then, all of %s bytes',
    async (size) => {
      const { readers, writable, isCut, take } = slowReader();
      for (let i = 0; i < 10; i++) {
        // The same number of bytes waits at every look.
        writable.write(Buffer.alloc(size));
        readers.look(i * limitMs * 0.9);
        await take();
      }
      expect(isCut()).toBe(false);
    },
  );

  it('is left alone while what waits for it changes', async () => {
    const { readers, writable, isCut, take } = slowReader();
    for (let i = 0; i < 5; i++) writable.write(Buffer.alloc(500));
    for (let i = 0; i < 4; i++) {
      readers.look(i * limitMs * 0.9);
      await take();
    }
    expect(isCut()).toBe(false);
    readers.look(10 * limitMs);
    readers.look(11 * limitMs);
    expect(isCut()).toBe(true);
  });

  it('is forgotten when it is gone', () => {
    const { readers, writable, isCut } = slowReader();
    writable.write(Buffer.alloc(10));
    readers.look(0);
    readers.delete(writable);
    readers.look(10 * limitMs);
    expect(isCut()).toBe(false);
  });
});
