import type { AuditEvent } from '../../gen/carillon/v1/audit_event_pb.js';
import { instantToText } from './option-values.ts';

/** The titles of `auditRow`. */
export const auditTitles = [
  'TIME',
  'ACTOR',
  'METHOD',
  'NAMESPACE',
  'OBJECT',
  'OUTCOME',
  'PEER',
  'WHAT',
] as const;

/** An event as a row of a table; --json has before and after. */
export function auditRow(event: AuditEvent): readonly string[] {
  return [
    instantToText(event.time),
    event.actor,
    event.method.replace(/^carillon\.v1\./, ''),
    event.namespace || '-',
    [event.objectType, event.objectName || (event.objectId > 0n ? String(event.objectId) : '')]
      .filter((part) => part !== '')
      .join(' '),
    event.outcome,
    event.peer,
    whatOf(event),
  ];
}

/** What a call changed, in short: the names of what it changed, or how many things. */
function whatOf({ before, after, details }: AuditEvent): string {
  const fields = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const { changed, refusedCalls } = details ?? {};
  if (typeof refusedCalls === 'number') return `${refusedCalls} refused calls are not listed`;
  if (changed === 0) return 'nothing';
  const count = typeof changed === 'number' && changed > 1 ? `${changed} changed` : '';
  const isUpdate = before !== undefined && after !== undefined;
  return [count, isUpdate ? fields.join(', ') : ''].filter((part) => part !== '').join(': ');
}
