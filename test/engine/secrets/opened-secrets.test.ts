/** What is kept of secrets that were opened, over a store that hands out what it is asked for. */
import { describe, expect, it } from 'vitest';
import { OpenedSecrets, type OpenedSecretsOptions } from '../../../src/engine/secrets/opened-secrets.ts';
import { SecretBox, type SecretName } from '../../../src/engine/secrets/secret-box.ts';
import type { SecretStore } from '../../../src/store/secret-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';

const key = Buffer.alloc(32, 1);

/** Secrets of this many bytes, and the names of those that were read. */
function opened(valueBytes: number, bounds: Pick<OpenedSecretsOptions, 'maxBytes' | 'maxSecrets'>) {
  const clock = new ManualClock();
  const box = new SecretBox([key]);
  const loaded: string[] = [];
  const load = async (_: unknown, names: readonly SecretName[]) =>
    names.map((name) => {
      loaded.push(name.name);
      const value = box.seal(name, Buffer.alloc(valueBytes));
      return { ...name, kind: 'TEXT' as const, value, previousValue: null };
    });
  const store = { db: undefined, secrets: { load } as unknown as SecretStore } as unknown;
  const secrets = new OpenedSecrets('TEXT', (value) => ({ bytes: value.length }), {
    store: store as OpenedSecretsOptions['store'],
    box,
    clock,
    ...bounds,
  });
  const find = async (...names: string[]): Promise<void> => {
    for (const name of names) {
      expect(await secrets.find({ namespace: 'default', name })).toEqual({ bytes: valueBytes });
    }
  };
  return { clock, secrets, loaded, find };
}

describe('of opened secrets', () => {
  it('those that were read last are kept, as many as their bytes allow', async () => {
    const { find, loaded, secrets } = opened(8_192, { maxBytes: 60_000 });
    await find('a', 'b', 'c', 'd', 'd', 'c', 'b');
    expect(loaded).toEqual(['a', 'b', 'c', 'd']);
    expect(secrets.size).toBe(3);
    await find('a', 'c', 'b');
    expect(loaded).toEqual(['a', 'b', 'c', 'd', 'a', 'b']);
  });

  it('small ones are as many as their number allows', async () => {
    const { find, loaded, secrets } = opened(8, { maxSecrets: 2 });
    await find('a', 'b', 'c', 'c', 'b', 'a');
    expect(loaded).toEqual(['a', 'b', 'c', 'a']);
    expect(secrets.size).toBe(2);
  });

  it('none stays that is over when another is read', async () => {
    const { find, clock, secrets } = opened(8, {});
    await find('a', 'b');
    await clock.advance(4_999);
    await find('c');
    expect(secrets.size).toBe(3);
    await clock.advance(1);
    await find('d');
    expect(secrets.size).toBe(2);
  });
});
