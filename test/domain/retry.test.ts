import { describe, expect, it } from 'vitest';
import { mergeParameters } from '../../src/domain/parameters.ts';
import { retryAfterLossMs, retryWaitMs } from '../../src/domain/retry.ts';
import { selects } from '../../src/domain/selector.ts';

const retry = { maxAttempts: 4, initialBackoffMs: 100, maxBackoffMs: 350, multiplier: 2, jitter: 0.5 };
const failed = { outcome: 'FAILED', retryable: true } as const;

describe('retries', () => {
  it('grow by the multiplier up to the longest wait', () => {
    expect([1, 2, 3].map((attempt) => retryWaitMs(retry, attempt, failed, () => 0))).toEqual([100, 200, 350]);
  });

  it('end with the last attempt', () => {
    expect(retryWaitMs(retry, 4, failed, () => 0)).toBeUndefined();
    expect(retryAfterLossMs(retry, 4)).toBeUndefined();
    expect(retryAfterLossMs(retry, 3)).toBe(0);
  });

  it('are never shorter than the backoff, whatever chance draws', () => {
    expect(retryWaitMs(retry, 1, failed, () => 0.999)).toBeGreaterThanOrEqual(100);
    expect(retryWaitMs(retry, 1, failed, () => 1)).toBe(150);
  });

  it('honour the wish of the callee when it is longer', () => {
    expect(retryWaitMs(retry, 1, { ...failed, retryAfterMs: 5_000 }, () => 0)).toBe(5_000);
    expect(retryWaitMs(retry, 1, { ...failed, retryAfterMs: 10 }, () => 0)).toBe(100);
  });

  it('do not follow what another attempt cannot mend, nor a success', () => {
    expect(retryWaitMs(retry, 1, { outcome: 'FAILED', retryable: false }, () => 0)).toBeUndefined();
    expect(retryWaitMs(retry, 1, { outcome: 'SUCCEEDED', retryable: false }, () => 0)).toBeUndefined();
  });
});

describe('parameters of a run', () => {
  it('override the text as a whole, the object by key, the list by name', () => {
    const base = {
      text: 'a',
      object: { x: 1, y: { deep: true } },
      list: [
        { name: 'p', value: '1' },
        { name: 'q', value: '2' },
      ],
    };
    const run = {
      object: { y: 2 },
      list: [
        { name: 'q', value: '3' },
        { name: 'r', value: '4' },
      ],
    };
    expect(mergeParameters(base, run)).toEqual({
      text: 'a',
      object: { x: 1, y: 2 },
      list: [
        { name: 'p', value: '1' },
        { name: 'q', value: '3' },
        { name: 'r', value: '4' },
      ],
    });
    expect(mergeParameters(base, { text: '' }).text).toBe('');
    expect(mergeParameters(base, null)).toBe(base);
  });
});

describe('a selector', () => {
  const job = { key: { namespace: 'n', group: 'g', name: 'report-1' }, labels: { team: 'a', tier: '1' } };

  it.each([
    [{ namespace: 'n' }, true],
    [{ namespace: 'm' }, false],
    [{ group: 'g', namePrefix: 'report' }, true],
    [{ namePrefix: 'eport' }, false],
    [{ labels: { team: 'a', tier: '1' } }, true],
    [{ labels: { team: 'a', tier: '2' } }, false],
  ])('%j chooses: %s', (selector, chosen) => {
    expect(selects(selector, job)).toBe(chosen);
  });
});
