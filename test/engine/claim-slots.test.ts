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
    expect(slots.take('unlimited', 6)).toBe(6);
    expect(slots.free).toBe(0);
    expect(told).toEqual([]);
  });

  it('are left by half to what no limit concerns, and the rest is taken in a second look', () => {
    const { slots, told } = slotsOf(9);
    expect(slots.take('limited', 8)).toBe(5);
    expect(told).toEqual(['limited']);
    expect(slots.take('limited', 3)).toBe(2);
    expect(slots.take('unlimited', 1)).toBe(1);
  });

  it('that what no limit concerns had are told to what limits hold back', () => {
    const { slots, told } = slotsOf(10);
    slots.take('unlimited', 9);
    expect(slots.take('limited', 2)).toBe(1);
    expect(told).toEqual([]);
    slots.release(1);
    expect(told).toEqual(['limited']);
  });

  it('are not kept for who wants none any more', () => {
    const { slots } = slotsOf(1);
    slots.take('unlimited', 1);
    expect(slots.take('limited', 1)).toBe(0);
    slots.release(1);
    // The other one may have been given it by turns, and looks first.
    slots.take('limited', 0);
    expect(slots.take('unlimited', 1)).toBe(1);
    slots.release(1);
    expect(slots.take('unlimited', 1)).toBe(1);
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
    slots.force(8);
    expect(slots.take('limited', 9)).toBe(0);
    slots.release(4);
    expect(slots.take('unlimited', 9)).toBe(2);
    // What it left is told to the other one, who may have been told of the four before it could look.
    expect(told.filter((claimant) => claimant === 'limited')).toHaveLength(2);
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

  it('never stay free while somebody waits for one, nor are more out than there are, whoever comes when', () => {
    const random = randomFrom(seedOf('claim slots'));
    const count = 1 + random.below(9);
    const woken = new Set<Claimant>();
    const slots = new ClaimSlots(count, (claimant) => woken.add(claimant));
    const waiting = { unlimited: 0, limited: 0 };
    const held = { unlimited: 0, limited: 0 };
    /** A look, as the dispatcher takes it: one does not know how many wait, the other asks for one more. */
    const look = (claimant: Claimant): void => {
      woken.delete(claimant);
      const has = waiting[claimant];
      const wanted = claimant === 'unlimited' ? 5 : has === 0 ? 0 : has + 1;
      const taken = slots.take(claimant, wanted);
      // Who got none and is told to look again would do so without a pause.
      expect(taken > 0 || !woken.has(claimant)).toBe(true);
      const used = Math.min(taken, has);
      waiting[claimant] -= used;
      held[claimant] += used;
      slots.giveBack(claimant, taken - used);
      if (taken > 0 && used === taken && taken === wanted) woken.add(claimant);
    };
    for (let turn = 0; turn < 5_000; turn++) {
      const claimant = random.below(2) === 0 ? 'unlimited' : 'limited';
      const what = random.below(4);
      if (what === 0) {
        waiting[claimant] += random.below(4);
        woken.add(claimant);
      } else if (what === 1 && held[claimant] > 0) {
        held[claimant]--;
        slots.release(1);
      } else if (what === 2 && random.chance(0.2)) {
        // Others take what waits, or it is canceled.
        waiting[claimant] = 0;
      } else if (woken.has(claimant)) look(claimant);
      expect(held.unlimited + held.limited + slots.free).toBe(count);
      expect(slots.free).toBeGreaterThanOrEqual(0);
      if (woken.size === 0 && slots.free > 0) expect(waiting).toEqual({ unlimited: 0, limited: 0 });
    }
    // Both have much to claim from here on.
    const got = { unlimited: 0, limited: 0 };
    for (let turn = 0; turn < 5_000; turn++) {
      Object.assign(waiting, { unlimited: 50, limited: 50 });
      const claimant = random.below(2) === 0 ? 'unlimited' : 'limited';
      const before = held[claimant];
      if (held[claimant] > 0 && random.chance(0.6)) {
        held[claimant]--;
        slots.release(1);
      } else look(claimant);
      got[claimant] += Math.max(0, held[claimant] - before);
    }
    expect(got.limited).toBeGreaterThan(got.unlimited / 4);
    expect(got.unlimited).toBeGreaterThan(got.limited / 4);
  });
});
