import type { LogEntry, LogLevel } from '../domain/execution.ts';
import type { Json } from '../domain/job.ts';
import { type Db, numberArray, run } from './database.ts';
import { feedInsert } from './feed-events.ts';
import { jsonText, storableText } from './json-text.ts';

/** The levels by their stored number. */
export const logLevels: readonly LogLevel[] = ['DEBUG', 'INFO', 'WARN', 'ERROR'];

/** The stored number of a level, 1 to 4. */
export const logLevelNumber = (level: LogLevel): number => logLevels.indexOf(level) + 1;

/** Log lines by execution and seq. */
export class PgLogStore {
  /**
   * Stores lines of attempts that an instance holds, in one statement; lines of
   * other attempts are refused. The share lock on the open row lets nobody take
   * the attempt away between the check and the commit, so two attempts never
   * write the same seq. Repeating a batch whose reply was lost stores nothing
   * twice. Returns the executions whose lines are stored.
   */
  async append(db: Db, instanceId: number, entries: readonly LogEntry[]): Promise<ReadonlySet<number>> {
    const rows = await run<{ id: number }>(db, appendStatement, [
      instanceId,
      numberArray(entries.map((entry) => entry.executionId)),
      numberArray(entries.map((entry) => entry.seq)),
      numberArray(entries.map((entry) => entry.attempt)),
      numberArray(entries.map((entry) => logLevelNumber(entry.level))),
      numberArray(entries.map((entry) => entry.at.getTime())),
      entries.map((entry) => storableText(entry.message)),
      entries.map((entry) => (entry.data === undefined ? null : jsonText(entry.data))),
    ]);
    return new Set(rows.map((row) => row.id));
  }

  /** Reads lines of one execution in order of seq. Uses the primary key. */
  async list(
    db: Db,
    query: {
      readonly executionId: number;
      /** Exclusive; null: no bound. */
      readonly afterSeq: number | null;
      readonly beforeSeq: number | null;
      readonly minLevel: LogLevel;
      /** 0: every attempt. */
      readonly attempt: number;
      readonly newestFirst: boolean;
      readonly limit: number;
    },
  ): Promise<readonly LogEntry[]> {
    const rows = await run<LogRow>(
      db,
      `select ${logColumns} from carillon.log_entry
        where execution_id = $1 and ($2::bigint is null or seq > $2) and ($3::bigint is null or seq < $3)
          and level >= $4 and ($5 = 0 or attempt = $5)
        order by seq ${query.newestFirst ? 'desc' : 'asc'} limit $6`,
      [
        query.executionId,
        query.afterSeq,
        query.beforeSeq,
        logLevelNumber(query.minLevel),
        query.attempt,
        query.limit,
      ],
    );
    return rows.map(logEntryFromRow);
  }

  /** Reads ranges of lines, one range an execution, up to a limit in all, by execution and seq. */
  async listRanges(
    db: Db,
    ranges: readonly { readonly executionId: number; readonly firstSeq: number; readonly lastSeq: number }[],
    minLevel: LogLevel,
    limit: number,
  ): Promise<readonly LogEntry[]> {
    const rows = await run<LogRow>(
      db,
      `/* log_ranges */
       select ${logColumns}
         from unnest((select $1::bigint[]), (select $2::bigint[]), (select $3::bigint[])) with ordinality as r (id, first_seq, last_seq, place)
         join carillon.log_entry g on g.execution_id = r.id and g.seq between r.first_seq and r.last_seq
        where g.level >= $4
        order by r.place, g.seq limit (select $5::integer)`,
      [
        numberArray(ranges.map((range) => range.executionId)),
        numberArray(ranges.map((range) => range.firstSeq)),
        numberArray(ranges.map((range) => range.lastSeq)),
        logLevelNumber(minLevel),
        limit,
      ],
    );
    return rows.map(logEntryFromRow);
  }

  /** The seq of the last line of each execution; those without lines are left out. */
  async listLastSeqs(db: Db, executionIds: readonly number[]): Promise<ReadonlyMap<number, number>> {
    const rows = await run<{ id: number; seq: number }>(
      db,
      `/* last_seqs */
       select r.id, g.seq from unnest($1::bigint[]) as r (id)
        cross join lateral (select seq from carillon.log_entry where execution_id = r.id order by seq desc limit 1) g`,
      [numberArray(executionIds)],
    );
    return new Map(rows.map((row) => [row.id, row.seq]));
  }
}

/** Logs as the engine sees them. */
export type LogStore = Pick<PgLogStore, keyof PgLogStore>;

type LogRow = {
  executionId: number;
  seq: number;
  at: Date;
  attempt: number;
  level: number;
  message: string;
  data: { [key: string]: Json } | null;
};

const logColumns = `execution_id as "executionId", seq, logged_at as at, attempt, level, message, data`;

function logEntryFromRow(row: LogRow): LogEntry {
  return { ...row, level: logLevels[row.level - 1]!, data: row.data ?? undefined };
}

const appendStatement = `/* append_logs */
  with line as (
    select * from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::smallint[], $6::bigint[], $7::text[], $8::text[])
      as l (execution_id, seq, attempt, level, at_ms, message, data)
  ), held as materialized (
    select o.execution_id, o.job_id, o.attempt from carillon.open_execution o
     where o.instance_id = $1
       and (o.execution_id, o.attempt) in (select l.execution_id, l.attempt from line l)
     order by o.execution_id
       for share
  ), stored as (
    insert into carillon.log_entry (execution_id, seq, logged_at, attempt, level, message, data)
    select l.execution_id, l.seq, to_timestamp(l.at_ms / 1000.0), l.attempt, l.level, l.message, l.data::jsonb
      from line l join held h on h.execution_id = l.execution_id and h.attempt = l.attempt
    on conflict (execution_id, seq) do nothing
    returning execution_id, seq, attempt
  ), span as (
    select s.execution_id, h.job_id, max(s.attempt) as attempt, min(s.seq) as first_seq, max(s.seq) as last_seq
      from stored s join held h on h.execution_id = s.execution_id
     group by s.execution_id, h.job_id
  ), fed as (${feedInsert('span', {
    executionId: 'execution_id',
    jobId: 'job_id',
    event: '0::smallint',
    attempt: 'attempt',
    firstSeq: 'first_seq',
    lastSeq: 'last_seq',
  })}
  )
  select execution_id as id from held`;
