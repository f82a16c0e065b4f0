import type { JobKey } from '../domain/job.ts';
import type { Calendar, StoredCalendar } from '../domain/schedule/calendar.ts';
import { type Db, numberArray, run, type Tx } from './database.ts';
import { jsonText } from './json-text.ts';

/** A calendar's name, and the version of it that the caller holds, if any. */
export type WantedCalendar = {
  readonly namespace: string;
  readonly name: string;
  readonly known?: CalendarVersion;
};

/** Names one state of one calendar; a calendar that is deleted and put again has another id. */
export type CalendarVersion = { readonly id: number; readonly revision: number };

/** A version of a calendar; `calendar` is absent where the caller holds this version. */
export type LoadedCalendar = CalendarVersion & {
  readonly namespace: string;
  readonly name: string;
  readonly calendar?: Calendar;
};

/** What became of a calendar that was to be removed; `jobs` are some of those that use it. */
export type CalendarRemoval =
  | { readonly kind: 'deleted'; readonly before: StoredCalendar }
  | { readonly kind: 'missing' }
  | { readonly kind: 'used'; readonly jobs: readonly JobKey[]; readonly count: number };

/** How many of the jobs that use a calendar are named. */
const namedJobs = 5;

/**
 * Calendars, and which jobs use them.
 *
 * A job begins to use calendars under a key-share lock on their rows, and a
 * calendar is removed under the lock that excludes this one; so no calendar
 * that is in use is removed, whoever comes first. Putting a calendar changes no
 * key and waits for neither. Whoever locks the timer row of a job locks it
 * before calendars.
 */
export class PgCalendarStore {
  /**
   * Makes a calendar or replaces its definition; what is equal to what is
   * stored changes nothing. `before` is what was replaced, or found equal.
   */
  async put(
    tx: Tx,
    calendar: Calendar,
  ): Promise<{ calendar: StoredCalendar; created: boolean; before?: StoredCalendar }> {
    const { namespace, name, ...definition } = calendar;
    const values = [namespace, name, jsonText(definition)];
    for (;;) {
      const made = await run(
        tx,
        `/* insert_calendar */
         insert into carillon.calendar (namespace, name, definition) values ($1, $2, $3::jsonb)
         on conflict (namespace, name) do nothing returning id`,
        values,
      );
      if (made.length > 0) return { calendar: (await this.find(tx, namespace, name))!, created: true };
      // Statements of their own: they see a calendar that another transaction has put since the one above began.
      const locked = await run(
        tx,
        `/* lock_calendar_to_put */
         select id from carillon.calendar where namespace = $1 and name = $2 for no key update`,
        [namespace, name],
      );
      // Deleted in between: then it is made after all.
      if (locked.length === 0) continue;
      const before = (await this.find(tx, namespace, name))!;
      await run(
        tx,
        `/* put_calendar */
         update carillon.calendar set definition = $3::jsonb, revision = revision + 1, updated_at = now()
          where namespace = $1 and name = $2 and definition <> $3::jsonb`,
        values,
      );
      return { calendar: (await this.find(tx, namespace, name))!, created: false, before };
    }
  }

  async find(db: Db, namespace: string, name: string): Promise<StoredCalendar | undefined> {
    const rows = await run<CalendarRow>(
      db,
      `/* find_calendar */ ${selectCalendar} where c.namespace = $1 and c.name = $2`,
      [namespace, name],
    );
    return rows[0] && calendarFromRow(rows[0]);
  }

  /** The calendars of a namespace whose names come after one, in the order of the names. */
  async list(
    db: Db,
    {
      namespace,
      after,
      limit,
    }: { readonly namespace: string; readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredCalendar[]> {
    const rows = await run<CalendarRow>(
      db,
      `/* list_calendars */
       ${selectCalendar} where c.namespace = $1 and ($2::text is null or c.name > $2) order by c.name limit $3`,
      [namespace, after ?? null, limit],
    );
    return rows.map(calendarFromRow);
  }

  /** Removes a calendar that no job uses. Waits for transactions in which a job begins to use it. */
  async remove(tx: Tx, namespace: string, name: string): Promise<CalendarRemoval> {
    const locked = await run<{ id: number }>(
      tx,
      `/* lock_calendar */ select id from carillon.calendar where namespace = $1 and name = $2 for update`,
      [namespace, name],
    );
    if (!locked[0]) return { kind: 'missing' };
    const before = (await this.find(tx, namespace, name))!;
    // A statement of its own: it sees the uses that were committed while the one above waited.
    const [removed] = await run<{ deleted: boolean; count: number; jobs: JobKey[] }>(
      tx,
      `/* remove_calendar */
       with gone as (
         delete from carillon.calendar c
          where c.id = $1 and not exists (select from carillon.calendar_use u where u.calendar_id = c.id)
         returning c.id
       ), some_jobs as (
         select j.namespace, j.group_name as "group", j.name
           from carillon.calendar_use u join carillon.job j on j.id = u.job_id
          where u.calendar_id = $1 order by u.job_id limit $2
       )
       select exists (select from gone) as deleted,
              (select count(*) from carillon.calendar_use u where u.calendar_id = $1) as count,
              (select coalesce(json_agg(s), '[]') from some_jobs s) as jobs`,
      [locked[0].id, namedJobs],
    );
    return removed!.deleted
      ? { kind: 'deleted', before }
      : { kind: 'used', jobs: removed!.jobs, count: removed!.count };
  }

  /**
   * Notes that a job uses these calendars of its namespace and no others.
   * Returns the names that no calendar has, in the order they were given: then
   * the caller must not commit. Waits for whoever removes one of them.
   */
  async use(tx: Tx, jobId: number, namespace: string, names: readonly string[]): Promise<readonly string[]> {
    const wanted = [...new Set(names)];
    const found = await run<{ name: string }>(
      tx,
      `/* use_calendars */
       with named as (
         select id, name from carillon.calendar where namespace = $2 and name = any ($3::text[])
          order by name for key share
       ), dropped as (
         delete from carillon.calendar_use where job_id = $1 and calendar_id not in (select id from named)
       ), added as (
         insert into carillon.calendar_use (job_id, calendar_id) select $1, id from named
         on conflict do nothing
       )
       select name from named`,
      [jobId, namespace, wanted],
    );
    if (found.length === wanted.length) return [];
    const existing = new Set(found.map(({ name }) => name));
    return wanted.filter((name) => !existing.has(name));
  }

  /** Notes that jobs use no calendars any more: those that are deleted. */
  async clearUses(tx: Tx, jobIds: readonly number[]): Promise<void> {
    if (jobIds.length === 0) return;
    await run(
      tx,
      '/* clear_calendar_uses */ delete from carillon.calendar_use where job_id = any ($1::bigint[])',
      [numberArray(jobIds)],
    );
  }

  /**
   * The present versions of calendars in no order, with their definitions where
   * the caller holds another version or none. Names that no calendar has are
   * left out.
   */
  async load(db: Db, wanted: readonly WantedCalendar[]): Promise<readonly LoadedCalendar[]> {
    if (wanted.length === 0) return [];
    const rows = await run<
      CalendarVersion & Pick<CalendarRow, 'namespace' | 'name'> & { definition: Definition | null }
    >(
      db,
      `/* load_calendars */
       select c.id, c.revision, c.namespace, c.name,
              case when (c.id, c.revision) = (w.id, w.revision) then null else c.definition end as definition
         from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) as w (namespace, name, id, revision)
         join carillon.calendar c on c.namespace = w.namespace and c.name = w.name`,
      [
        wanted.map(({ namespace }) => namespace),
        wanted.map(({ name }) => name),
        numberArray(wanted.map(({ known }) => known?.id ?? null)),
        numberArray(wanted.map(({ known }) => known?.revision ?? null)),
      ],
    );
    return rows.map(({ definition, ...version }) => ({
      ...version,
      calendar: definition ? { namespace: version.namespace, name: version.name, ...definition } : undefined,
    }));
  }
}

/** Calendars as the engine sees them. */
export type CalendarStore = Pick<PgCalendarStore, keyof PgCalendarStore>;

type Definition = Omit<Calendar, 'namespace' | 'name'>;

type CalendarRow = {
  readonly namespace: string;
  readonly name: string;
  readonly definition: Definition;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly jobCount: number;
};

const selectCalendar = `
  select c.namespace, c.name, c.definition, c.created_at as "createdAt", c.updated_at as "updatedAt",
         (select count(*) from carillon.calendar_use u where u.calendar_id = c.id) as "jobCount"
    from carillon.calendar c`;

const calendarFromRow = ({ namespace, name, definition, ...kept }: CalendarRow): StoredCalendar => ({
  namespace,
  name,
  ...definition,
  ...kept,
});
