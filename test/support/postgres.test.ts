import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { startPostgres, useTestDatabase } from './postgres.ts';
import { queryValue } from './postgres-query.ts';

describe('useTestDatabase', () => {
  const database = useTestDatabase();

  it('gives a migrated database whose session zone is not UTC', async () => {
    expect(await queryValue(database.url, 'select count(*)::int > 0 from carillon.migration')).toBe(true);
    expect(await queryValue(database.url, "select current_setting('timezone')")).toBe('Pacific/Chatham');
  });
});

describe('startPostgres', () => {
  it('keeps committed rows through kill -9 and comes back on the same port', async () => {
    const postgres = await startPostgres();
    try {
      await queryValue(postgres.url, 'create table t as select 1 as n');
      await postgres.kill9();
      await expect(queryValue(postgres.url, 'select 1')).rejects.toThrow();
      await postgres.restart();
      expect(await queryValue(postgres.url, 'select count(*)::int from t')).toBe(1);
      await postgres.stop('immediate');
      await postgres.restart();
      expect(await queryValue(postgres.url, 'select count(*)::int from t')).toBe(1);
    } finally {
      await postgres.remove();
    }
  });

  it('answers nothing while it is paused and goes on afterwards', async () => {
    const postgres = await startPostgres();
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    try {
      await postgres.pause();
      let answered = false;
      const answer = client.query('select 1').then(() => {
        answered = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(answered).toBe(false);
      await postgres.resume();
      await answer;
      expect(answered).toBe(true);
    } finally {
      await client.end();
      await postgres.remove();
    }
  });
});
