/** What tests of secrets that change over to another key share: the keys, and instances that have some of them. */
import { beforeEach } from 'vitest';
import { SecretBox } from '../../../src/engine/secrets/secret-box.ts';
import { SecretDesk } from '../../../src/engine/secrets/secret-desk.ts';
import { SecretResealing } from '../../../src/engine/secrets/secret-resealing.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLogger } from '../../../src/platform/logger.ts';
import type { SecretStore } from '../../../src/store/secret-store.ts';
import { ManualClock } from '../../platform/manual-clock.ts';
import { caller, hour, useJobDesk } from '../job-desk.ts';

export const [oldKey, newKey, lostKey] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte)) as [
  Buffer,
  Buffer,
  Buffer,
];

/** What an instance with these keys says of them. */
export const idsOf = (...keys: Buffer[]): readonly string[] => new SecretBox(keys).keyIds;

/** Secrets by their names, so many. */
export const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`secret ${i}`, `value ${i}`]));

type Line = { readonly level: string; readonly msg: string } & Readonly<Record<string, unknown>>;

/** Secrets on a database of the file's own, empty at the beginning of each test. */
export function useSealedSecrets() {
  const jobs = useJobDesk();

  /** The secrets of the tests before are gone, and so are the instances. */
  beforeEach(async () => {
    await jobs.rows('delete from carillon.secret');
    await jobs.rows(`delete from carillon.instance where name <> 'test'`);
    await jobs.rows(`update carillon.instance set secret_keys = '{}'`);
  });

  /** An instance with these keys that leads; `secrets` stands in for parts of its store. */
  function leader(keys: readonly Buffer[], secrets: Partial<SecretStore> = {}, batchSize?: number) {
    const { store } = jobs;
    const lines: Line[] = [];
    const clock = new ManualClock();
    let term: number | undefined = 1;
    const resealing = new SecretResealing({
      store: { ...store, secrets: Object.assign(Object.create(store.secrets), secrets) },
      box: new SecretBox(keys),
      clock,
      logger: createLogger({
        level: 'info',
        destination: { write: (line) => void lines.push(JSON.parse(line)) },
      }),
      leadership: () => (term === undefined ? undefined : { term }),
      intervalMs: 1_000,
      batchSize,
    });
    return {
      resealing,
      clock,
      lines,
      tick: () => resealing.tick(),
      lead: (next: number | undefined) => {
        term = next;
      },
    };
  }

  /** Puts secrets as an instance with these keys does. */
  async function put(keys: readonly Buffer[], values: Readonly<Record<string, string>>): Promise<void> {
    const desk = new SecretDesk({
      store: jobs.store,
      box: new SecretBox(keys),
      clock: systemClock,
      onChange: () => undefined,
    });
    for (const [name, value] of Object.entries(values)) {
      await desk.put({ namespace: 'default', name, kind: 'TEXT', value }, caller);
    }
  }

  /** What an instance with these keys opens; undefined where none of them fits. */
  async function opened(...keys: Buffer[]): Promise<Record<string, string | undefined>> {
    const box = new SecretBox(keys);
    const rows = await jobs.rows<{ namespace: string; name: string; value: Buffer }>(
      'select namespace, name, value from carillon.secret order by id',
    );
    return Object.fromEntries(rows.map((row) => [row.name, box.open(row, row.value)?.toString()]));
  }

  /** Another instance that lives. */
  const join = (name: string, secretKeys?: readonly string[]): Promise<number> =>
    jobs.store.instances.register(jobs.store.db, { name, roles: '', version: '0', secretKeys }, hour);

  return { jobs, leader, put, opened, join };
}
