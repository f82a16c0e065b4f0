/** How two claims share the slots of an instance. */
import { describe, expect, it } from 'vitest';
import { type Claimant, ClaimSlots } from '../../src/engine/claim-slots.ts';
import { randomFrom, seedOf } from '../support/seeded-random.ts';

function slotsOf(count: number) {
  const told: Claimant[] = [];
  return { slots: new ClaimSlots(count, (claimant) => told.push(claimant)), told };
}

describe('slots', () => {
  it('are all given to who asks while nobody else is short', () => {
    const { slots, told } = slotsOf(10);
    expect(slots.take('unlimited', 4)).toBe(4);
    expect(slots.take('limited', 10)).toBe(6);
    expect(slots.free).toBe(0);
    expect(told).toEqual([]);
  });

  it('that become free are told to who was short of them, until that one has found nothing more', () => {
    const { slots, told } = slotsOf(2);
    slots.take('unlimited', 5);
    slots.release(1);
    expect(told).toEqual(['unlimited']);
    expect(slots.take('unlimited', 5)).toBe(1);
    slots.giveBack('unlimited', 1);
    slots.release(1);
    expect(told).toEqual(['unlimited']);
  });

  it('are halved when both are short, and go by turns where there is one', () => {
    const { slots, told } = slotsOf(8);
    expect(slots.take('limited', 9)).toBe(8);
    slots.release(4);
    expect(slots.take('unlimited', 9)).toBe(2);
    // What it left is told to the other one, who may have been told of the four before it could look.
    expect(told).toEqual(['limited', 'limited']);
    expect(slots.take('limited', 9)).toBe(1);
    expect(slots.take('unlimited', 9)).toBe(1);
    slots.release(1);
    const first = [slots.take('unlimited', 1), slots.take('limited', 1)];
    slots.release(1);
    const second = [slots.take('unlimited', 1), slots.take('limited', 1)];
    expect([first, second].toSorted()).toEqual([
      [0, 1],
      [1, 0],
    ]);
  });

  it('of attempts that were begun without one are paid back before there are free ones', () => {
    const { slots, told } = slotsOf(1);
    slots.force(2);
    expect([slots.free, slots.take('unlimited', 1)]).toEqual([-1, 0]);
    slots.release(1);
    expect([slots.free, told]).toEqual([0, []]);
    slots.release(1);
    expect([slots.free, told]).toEqual([1, ['unlimited']]);
  });

  it('never stay free while somebody is short, nor are more out than there are, whoever comes when', () => {
    const random = randomFrom(seedOf('claim slots'));
    const count = 1 + random.below(9);
    const woken = new Set<Claimant>();
    const slots = new ClaimSlots(count, (claimant) => woken.add(claimant));
    // Both always have more to claim; each looks when it is told to, at a moment of its own.
    const held = { unlimited: 0, limited: 0 };
    const got = { unlimited: 0, limited: 0 };
    const look = (claimant: Claimant): void => {
      woken.delete(claimant);
      const taken = slots.take(claimant, 100);
      held[claimant] += taken;
      got[claimant] += taken;
    };
    look('unlimited');
    look('limited');
    for (let turn = 0; turn < 5_000; turn++) {
      const claimant = random.below(2) === 0 ? 'unlimited' : 'limited';
      if (random.below(3) > 0 && held[claimant] > 0) {
        held[claimant]--;
        slots.release(1);
      } else if (woken.has(claimant)) look(claimant);
      expect(held.unlimited + held.limited + slots.free).toBe(count);
      expect(slots.free).toBeGreaterThanOrEqual(0);
      if (woken.size === 0) expect(slots.free).toBe(0);
    }
    expect(got.limited).toBeGreaterThan(got.unlimited / 3);
    expect(got.unlimited).toBeGreaterThan(got.limited / 3);
  });
});
