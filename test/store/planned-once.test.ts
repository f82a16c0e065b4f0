/** Statements of each tick, claim and end are planned once on a connection, whatever they are asked with (src/store/database.ts). */
import { expect, it } from 'vitest';
import { run } from '../../src/store/database.ts';
import { listDefinitions } from '../../src/store/definitions.ts';
import { createStore } from '../../src/store/store.ts';
import { openDatabase } from '../support/open-database.ts';
import { useTestDatabase } from '../support/postgres.ts';

const testDatabase = useTestDatabase();

/** So often Postgres plans a prepared statement for the values of a call before it compares. */
const triedPlans = 5;

it('statements that run often are not planned anew for the values of each call', async () => {
  const database = openDatabase(testDatabase.url, 1);
  try {
    const { db, timers, continuations, limits, triggers, attempts, logs, transaction } =
      createStore(database);
    for (let count = 1; count <= 12; count++) {
      const ids = Array.from({ length: count }, (_, n) => n);
      await continuations.listAmong(db, ids);
      await triggers.drawIds(db, count);
      await listDefinitions(db, ids);
      await attempts.listPlaced(db, ids, count);
      await logs.listRanges(
        db,
        ids.map((executionId) => ({ executionId, firstSeq: 1, lastSeq: 2 })),
        'DEBUG',
        count,
      );
      await limits.listLanes(db, ids, { afterLane: count, maxLanes: count });
      await transaction(async (tx) => {
        await timers.listSituations(tx, ids);
        await limits.listLaned(
          tx,
          ids.map((id) => ({ id, queueId: id, count })),
          ids,
        );
      });
    }
    const plans = await run<{ name: string; custom: number }>(
      db,
      `select name, custom_plans::integer as custom from pg_prepared_statements
        where name in ('continuable_among', 'draw_ids', 'definitions', 'placed', 'log_ranges', 'lanes', 'situations', 'laned')
        order by name`,
      [],
    );
    expect(plans).toHaveLength(8);
    expect(plans.filter(({ custom }) => custom > triedPlans)).toEqual([]);
  } finally {
    await database.close();
  }
});
