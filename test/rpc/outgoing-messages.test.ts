import { describe, expect, it } from 'vitest';
import { OutgoingMessages } from '../../src/rpc/outgoing-messages.ts';

/** Room for more, as far as it is there after a turn. */
async function isThereRoom(outgoing: OutgoingMessages<number>): Promise<boolean> {
  const room = outgoing.room();
  if (room === undefined) return true;
  return Promise.race([room.then(() => true), new Promise<false>((resolve) => setImmediate(resolve, false))]);
}

const filled = (count: number): OutgoingMessages<number> => {
  const outgoing = new OutgoingMessages<number>();
  for (let n = 0; n < count; n++) outgoing.push(n);
  return outgoing;
};

describe('messages that go out', () => {
  it('have room for more while few wait, those of the batch under way included', async () => {
    const outgoing = filled(16);
    expect(await isThereRoom(outgoing)).toBe(true);
    outgoing.push(16);
    expect(await isThereRoom(outgoing)).toBe(false);
    const taken = outgoing.until(new AbortController().signal);
    await taken.next();
    expect(await isThereRoom(outgoing)).toBe(false);
    const room = outgoing.room();
    // The one before has gone when the next is asked for.
    await taken.next();
    await room;
    expect(await isThereRoom(outgoing)).toBe(true);
  });

  it('let go of who waits for room when they end, and when the call does', async () => {
    const ended = filled(20);
    const room = ended.room();
    ended.end();
    await room;
    const aborted = filled(20);
    const controller = new AbortController();
    await aborted.until(controller.signal).next();
    const waiting = aborted.room();
    controller.abort();
    await waiting;
    expect(await isThereRoom(aborted)).toBe(true);
  });
});
