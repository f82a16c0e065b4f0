import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { startPostgres, useTestDatabase } from './postgres.ts';

async function query(url: string, text: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return Object.values<unknown>((await client.query(text)).rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}

describe('useTestDatabase', () => {
  const database = useTestDatabase();

  it('gives a migrated database whose session zone is not UTC', async () => {
    expect(await query(database.url, 'select count(*)::int > 0 from carillon.migration')).toBe(true);
    expect(await query(database.url, "select current_setting('timezone')")).toBe('Pacific/Chatham');
  });
});

describe('startPostgres', () => {
  it('keeps committed rows through kill -9 and comes back on the same port', async () => {
    const postgres = await startPostgres();
    try {
      await query(postgres.url, 'create table t as select 1 as n');
      await postgres.kill9();
      await expect(query(postgres.url, 'select 1')).rejects.toThrow();
      await postgres.restart();
      expect(await query(postgres.url, 'select count(*)::int from t')).toBe(1);
      await postgres.stop('immediate');
      await postgres.restart();
      expect(await query(postgres.url, 'select count(*)::int from t')).toBe(1);
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
