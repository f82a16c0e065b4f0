import pg from 'pg';

export type DatabaseLimits = {
  readonly commits: number;
  readonly inserts: number;
  readonly lifecycles: number;
};

/**
 * What the database itself can do on this machine, in plain SQL: single-row
 * commits/s from 16 connections, rows/s inserted in batches of 2,000, and whole
 * lifecycles/s (insert, claim, complete) in batches of 500.
 */
export async function measureDatabase(url: string, seconds: number): Promise<DatabaseLimits> {
  const pool = new pg.Pool({ connectionString: url, max: 16 });
  pool.on('error', () => undefined);
  const during = async (lanes: number, body: () => Promise<number>): Promise<number> => {
    let rows = 0;
    const end = performance.now() + seconds * 1000;
    await Promise.all(
      Array.from({ length: lanes }, async () => {
        while (performance.now() < end) rows += await body();
      }),
    );
    return rows / seconds;
  };
  try {
    await pool.query(`
      drop table if exists bench_row;
      create table bench_row (id bigserial primary key, state text not null, at timestamptz not null default now());
      create index on bench_row (id) where state = 'PENDING'`);
    const commits = await during(16, async () => {
      await pool.query({ name: 'one', text: `insert into bench_row (state) values ('DONE')` });
      return 1;
    });
    const inserts = await during(2, async () => {
      await pool.query({
        name: 'many',
        text: `insert into bench_row (state) select 'DONE' from generate_series(1, 2000)`,
      });
      return 2_000;
    });
    const lifecycles = await during(2, async () => {
      await pool.query({
        name: 'i',
        text: `insert into bench_row (state) select 'PENDING' from generate_series(1, 500)`,
      });
      const { rows } = await pool.query<{ ids: string[] | null }>({
        name: 'c',
        text: `with c as (select id from bench_row where state = 'PENDING' order by id limit 500 for update skip locked),
                    u as (update bench_row b set state = 'RUNNING' from c where b.id = c.id returning b.id)
               select array_agg(id) as ids from u`,
      });
      const ids = rows[0]!.ids ?? [];
      await pool.query({
        name: 'd',
        text: `update bench_row set state = 'DONE' where id = any ($1::bigint[])`,
        values: [ids],
      });
      return ids.length;
    });
    await pool.query('drop table bench_row');
    return { commits, inserts, lifecycles };
  } finally {
    await pool.end();
  }
}
