import { describe, expect, it } from 'vitest';
import { type FilledEvent, stageOf } from '../../src/engine/feed-contents.ts';
import { Watcher } from '../../src/engine/watcher.ts';
import { fakeExecution } from '../support/fake-operations.ts';

const place = { since: '1:1:', until: '2:2:', index: 0 };

function pending(id: number): FilledEvent {
  const job = { id: 1, key: { namespace: 'n', group: 'g', name: 'j' } };
  return { kind: 'execution', execution: fakeExecution(id, job, 'API'), stage: stageOf('PENDING', 0) };
}

describe('a client that leaves 100,000 state changes unread', () => {
  it('gets what waited, is let go of with UNAVAILABLE, and costs nothing more meanwhile', () => {
    const watcher = new Watcher({ epoch: 'e', minLevel: 'DEBUG', maxBytes: 1_000, wants: () => true });
    for (let id = 1; id <= 100_010; id++) watcher.offer(pending(id), place);
    let taken = 0;
    expect(() => {
      while (watcher.take() !== undefined) taken++;
    }).toThrow('the client reads too slowly');
    expect(taken).toBe(100_001);
  });
});
