/** The plan of the statement with which the leader finds what is due. */
import type pg from 'pg';
import type { Tx } from '../../src/store/database.ts';
import { PgTimerStore } from '../../src/store/timer-store.ts';
import { ensure } from './statistics.ts';

const indexName = 'timer_next_fire_at_idx';
const limit = 2_000;

/** A node of EXPLAIN's JSON, as far as it is read here. */
type PlanNode = {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
};

/** How a prepared statement is planned: by its parameters, or once for all. Postgres changes to the second when it looks no dearer. */
const planModes = ['force_custom_plan', 'force_generic_plan'] as const;

/**
 * Explains `lock_due` with nothing due, then with `ids` due for a second,
 * planned in both ways, and rolls back. Returns the plans as text and the
 * sentences that say what is wrong with them: it must read due rows only, by
 * their index.
 */
export async function explainDue(
  client: pg.Client,
  ids: readonly number[],
): Promise<{ readonly text: readonly string[]; readonly problems: readonly string[] }> {
  ensure(ids.length < limit, 'a batch must hold all rows that are due');
  const problems: string[] = [];
  const text: string[] = [];
  await client.query(`prepare lock_due as ${await lockDueText()}`);
  for (const due of [0, ids.length]) {
    await client.query('begin');
    if (due > 0) {
      await client.query(
        `update carillon.timer set next_fire_at = clock_timestamp() - interval '1 second' where job_id = any ($1)`,
        [ids],
      );
    }
    for (const mode of planModes) {
      await client.query(`set local plan_cache_mode = ${mode}`);
      const which = `lock_due, ${due} rows due, ${mode}`;
      const explain = (format: string): Promise<pg.QueryResult<{ 'QUERY PLAN': unknown }>> =>
        client.query(`explain (analyze, buffers, format ${format}) execute lock_due(${limit}, null)`);
      const { rows } = await explain('json');
      const [{ Plan }] = rows[0]!['QUERY PLAN'] as [{ Plan: PlanNode }];
      problems.push(...problemsOf(Plan, due).map((problem) => `${which}: ${problem}`));
      text.push(`${which}:`);
      text.push(...(await explain('text')).rows.map((row) => `  ${String(row['QUERY PLAN'])}`));
    }
    await client.query('rollback');
  }
  await client.query('deallocate lock_due');
  return { text, problems };
}

function problemsOf(plan: PlanNode, due: number): readonly string[] {
  const scans = nodesOf(plan).filter(
    (node) => node['Relation Name'] === 'timer' && node['Node Type'] !== 'LockRows',
  );
  if (scans.length !== 1) return [`it scans the timers ${scans.length} times, not once`];
  const scan = scans[0]!;
  const read = scan['Actual Rows'] + (scan['Rows Removed by Filter'] ?? 0);
  return [
    ...(scan['Index Name'] === indexName ? [] : [`it reads by ${scan['Node Type']}, not by ${indexName}`]),
    ...(read === due ? [] : [`it reads ${read} rows, of which ${due} are due`]),
  ];
}

const nodesOf = (node: PlanNode): readonly PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

/** The very text that the store sends. */
async function lockDueText(): Promise<string> {
  let text = '';
  const recorder = {
    executeQuery: (query: { readonly sql: string }) => {
      text = query.sql;
      return Promise.resolve({ rows: [] });
    },
  };
  await new PgTimerStore().lockDue(recorder as unknown as Tx, limit, null);
  return text;
}
