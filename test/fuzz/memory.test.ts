import { describe, expect, it } from 'vitest';
import { growthOf } from './memory.ts';

const flat = [150, 250, 180, 260, 190, 255];

describe('an instance', () => {
  it('may hold a tenth more than when it was warm, and have its peaks where they were', () => {
    expect(growthOf({ held: [50, 58, 54.9], resident: flat })).toEqual([]);
    expect(growthOf({ held: [50, 40], resident: [...flat, 300, 320, 310] })).toEqual([]);
  });

  it('grows when it holds more in the end than that', () => {
    expect(growthOf({ held: [50, 52, 55.1], resident: flat })).toEqual([
      'holds 55.1 MiB, and held 50.0 MiB when it was warm',
    ]);
  });

  it('grows when its peaks do not level off, whatever is held', () => {
    expect(growthOf({ held: [50, 50], resident: [100, 200, 300, 400, 500, 600] })).toEqual([
      'peaks at 600.0 MiB in the last third, and at 400.0 MiB before',
    ]);
  });

  it('is not judged by one weighing', () => {
    expect(growthOf({ held: [50], resident: [100] })).toEqual([]);
  });
});
