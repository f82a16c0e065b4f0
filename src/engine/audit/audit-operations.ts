import type { AuditConditions, AuditEvent } from '../../store/audit-store.ts';
import type { Caller, Page } from '../operations.ts';
import type { AuditedObject } from './audit-rows.ts';

export type { AuditEvent };

/**
 * Which events to list; all conditions that are present must hold.
 * `namespaces` is for whoever narrows what a caller may see: with it, events of
 * no namespace are not shown.
 */
export type AuditFilter = AuditConditions;

/** What the outside may ask of the audit. */
export type AuditOperations = {
  /**
   * Newest first. A page may hold fewer events than it could, also none, while
   * there are more: what is rare in a long span of time is looked for in steps.
   */
  list(
    filter: AuditFilter,
    page: Page,
    caller: Caller,
  ): Promise<{ readonly events: readonly AuditEvent[]; readonly nextPageToken: string }>;
};

/** A call that was refused, by what its request named. */
export type RefusedCall = {
  readonly caller: Caller;
  /** The reason of the error. */
  readonly reason: string;
  readonly namespace?: string;
  readonly object: AuditedObject;
  readonly details?: Readonly<Record<string, unknown>>;
  /** Whether it is not to be written: it is noted for the time that noting takes, which must tell nothing. */
  readonly isDropped?: boolean;
};

/** Takes refused calls into the audit. */
export type RefusalRecorder = {
  /** Notes a call; it is written soon, and the caller's reply does not wait for it. */
  record(call: RefusedCall): void;
};
