/**
 * The audit: rows are written and read, never changed (the database refuses it).
 *
 * Reading is bounded whatever the filter and the size of the table: a page
 * looks at `stepRows` rows at most, in the order of one index, and keeps those
 * that fit. Which index is said here, by the first condition that has one, and
 * not left to the planner: a rare outcome among a hundred million rows must not
 * become a scan of all of them. A page that found few says where it stopped.
 */
import { type Db, numberArray, run } from './database.ts';
import { jsonText, storableText } from './json-text.ts';

/** What before, after and details of an event are: values that JSON can carry, by name. */
export type AuditImage = Readonly<Record<string, unknown>>;

/** An event as it is written; null is what there is not. */
export type AuditRow = {
  readonly actor: string;
  readonly method: string;
  readonly namespace: string | null;
  readonly objectType: string;
  readonly objectId: number | null;
  readonly objectName: string | null;
  readonly peer: string;
  readonly requestId: string;
  /** `OK`, or the reason of the refusal. */
  readonly outcome: string;
  readonly before: AuditImage | null;
  readonly after: AuditImage | null;
  readonly details: AuditImage | null;
};

/** An event as it is stored. */
export type AuditEvent = AuditRow & { readonly id: number; readonly at: Date };

/** Which events to list; all conditions that are present must hold. */
export type AuditConditions = {
  readonly namespace?: string;
  /** Only events of these namespaces; absent: all, those of no namespace among them. */
  readonly namespaces?: readonly string[];
  readonly actor?: string;
  readonly methods?: readonly string[];
  readonly objectType?: string;
  readonly objectId?: number;
  readonly objectName?: string;
  readonly outcomes?: readonly string[];
  /** Inclusive. */
  readonly startAt?: Date;
  /** Exclusive. */
  readonly endAt?: Date;
  readonly requestId?: string;
};

/** How many rows one page looks at, at most. */
const stepRows = 20_000;

/**
 * How far the time of an id and that of its row may lie apart, in milliseconds:
 * an id that was drawn before its transaction is older, and no transaction
 * lives longer than this.
 */
const idSlackMs = 30_000;

/** The columns of an event but for its id and time, in the order of `auditValues`. */
const columns = `actor, method, namespace, object_type, object_id, object_name, peer, request_id, outcome, before, after,
  details`;

/** Events, newest first. */
export class PgAuditStore {
  /**
   * Writes events in one statement. With `ids`, one for each, it may be
   * repeated: what is there already is left as it is.
   */
  async insert(db: Db, rows: readonly AuditRow[], ids?: readonly number[]): Promise<void> {
    if (rows.length === 0) return;
    await run(
      db,
      ids ? insertOnceStatement : insertStatement,
      ids ? [...auditValues(rows), numberArray(ids)] : auditValues(rows),
    );
  }

  /**
   * A page of events before one, newest first. `endedAt` is the last row that
   * was looked at, when there may be more behind it.
   */
  async list(
    db: Db,
    conditions: AuditConditions,
    { beforeId, limit }: { readonly beforeId?: number; readonly limit: number },
  ): Promise<{ readonly events: readonly AuditEvent[]; readonly endedAt?: number }> {
    const { namespace, namespaces, actor, methods, objectType, objectId, objectName } = conditions;
    const { outcomes, startAt, endAt, requestId } = conditions;
    const only = namespace ?? (namespaces?.length === 1 ? namespaces[0] : undefined);
    const [row] = await run<{ events: StoredEvent[] | null; looked: number; endedAt: number | null }>(
      db,
      listStatement(leadOf(conditions, only)),
      [
        beforeId ?? null,
        startAt ? startAt.getTime() - idSlackMs : null,
        endAt ? endAt.getTime() + idSlackMs : null,
        only ?? null,
        namespaces ?? null,
        actor ?? null,
        methods ?? null,
        objectType ?? null,
        objectId ?? null,
        objectName ?? null,
        outcomes ?? null,
        startAt ?? null,
        endAt ?? null,
        requestId ?? null,
        limit,
      ],
    );
    const events = (row!.events ?? []).map(eventFromStored);
    if (events.length === limit) return { events, endedAt: events.at(-1)!.id };
    return row!.looked === stepRows ? { events, endedAt: row!.endedAt! } : { events };
  }
}

/** The audit as the engine sees it. */
export type AuditStore = Pick<PgAuditStore, keyof PgAuditStore>;

/** The values of events as arrays, one for each column. */
function auditValues(rows: readonly AuditRow[]): unknown[] {
  return [
    rows.map((row) => storableText(row.actor)),
    rows.map((row) => row.method),
    rows.map((row) => textOrNull(row.namespace)),
    rows.map((row) => row.objectType),
    numberArray(rows.map((row) => row.objectId)),
    rows.map((row) => textOrNull(row.objectName)),
    rows.map((row) => row.peer),
    rows.map((row) => row.requestId),
    rows.map((row) => row.outcome),
    rows.map((row) => imageOrNull(row.before)),
    rows.map((row) => imageOrNull(row.after)),
    rows.map((row) => imageOrNull(row.details)),
  ];
}

const textOrNull = (text: string | null): string | null => (text === null ? null : storableText(text));

const imageOrNull = (image: AuditImage | null): string | null => (image === null ? null : jsonText(image));

const valueArrays = `$1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
  $9::text[], $10::jsonb[], $11::jsonb[], $12::jsonb[]`;

const insertStatement = `/* insert_audit_events */
  insert into carillon.audit_event (${columns}) select * from unnest(${valueArrays})`;

const insertOnceStatement = `/* insert_audit_events_once */
  insert into carillon.audit_event (${columns}, id) select * from unnest(${valueArrays}, $13::bigint[])
  on conflict (id) do nothing`;

/** The condition that says which index is read. */
function leadOf(
  { objectId, objectName, actor }: AuditConditions,
  only: string | undefined,
): keyof typeof leads {
  if (objectId !== undefined) return 'objectId';
  if (objectName !== undefined) return 'objectName';
  if (actor !== undefined) return 'actor';
  return only === undefined ? 'time' : 'namespace';
}

/**
 * Where a page begins to look. By an object's id it also finds the event of
 * that very id, which is how the event of the Trigger that made an execution is
 * found by the execution.
 */
const leads = {
  objectId: 'object_id = $9',
  objectName: 'object_name = $10',
  actor: 'actor = $6',
  namespace: 'namespace = $4',
  time: 'true',
} as const;

/** Above every id. */
const maxId = '9007199254740992';

/** An instant as the first id of its millisecond; see carillon.next_id. */
const idOf = (parameter: string): string => `((${parameter}::bigint - 1704067200000) * 4096)`;

/** Rows of the page and of its span of time, by their ids, as a range that an index can begin at. */
const inSpan = `id < least(coalesce($1::bigint, ${maxId}), coalesce(${idOf('$3')}, ${maxId}))
       and id >= coalesce(${idOf('$2')}, 0)`;

const rowsOf = (condition: string): string =>
  `select * from carillon.audit_event where ${condition} and ${inSpan} order by id desc limit ${stepRows}`;

const stepOf = (lead: keyof typeof leads): string =>
  lead === 'objectId'
    ? `select * from ((${rowsOf(leads.objectId)}) union all (${rowsOf('id = $9 and object_id is distinct from $9')})) r
        order by id desc limit ${stepRows}`
    : rowsOf(leads[lead]);

const listStatement = (lead: keyof typeof leads): string => `
  with step as materialized (
    ${stepOf(lead)}
  ), fitting as (
    select id, at, ${columns} from step
     where ($4::text is null or namespace = $4) and ($5::text[] is null or namespace = any ($5))
       and ($6::text is null or actor = $6) and ($7::text[] is null or method = any ($7))
       and ($8::text is null or object_type = $8) and ($9::bigint is null or object_id = $9 or id = $9)
       and ($10::text is null or object_name = $10) and ($11::text[] is null or outcome = any ($11))
       and ($12::timestamptz is null or at >= $12) and ($13::timestamptz is null or at < $13)
       and ($14::text is null or request_id = $14)
     order by id desc limit $15
  )
  select (select json_agg(f order by f.id desc) from fitting f) as events, (select count(*) from step) as looked,
         (select min(id) from step) as "endedAt"`;

type StoredEvent = {
  readonly id: number;
  readonly at: string;
  readonly actor: string;
  readonly method: string;
  readonly namespace: string | null;
  readonly object_type: string;
  readonly object_id: number | null;
  readonly object_name: string | null;
  readonly peer: string;
  readonly request_id: string;
  readonly outcome: string;
  readonly before: AuditImage | null;
  readonly after: AuditImage | null;
  readonly details: AuditImage | null;
};

const eventFromStored = ({
  at,
  object_type: objectType,
  object_id: objectId,
  object_name: objectName,
  request_id: requestId,
  ...row
}: StoredEvent): AuditEvent => ({ ...row, at: new Date(at), objectType, objectId, objectName, requestId });
