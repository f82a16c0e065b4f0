/** What the jobs of a namespace share, kept to the namespaces in which a caller may do what it asks. */
import { everyNamespace } from '../../domain/access.ts';
import type {
  AuditOperations,
  CalendarOperations,
  Caller,
  NamespaceOperations,
  SecretOperations,
  WorkerOperations,
} from '../operations.ts';
import { calendarNotFound, namespaceNotFound, permissionDenied } from '../refusals.ts';
import type { PageSeal } from './page-seal.ts';
import { admit, mayEverywhere, narrow, type Tenancy } from './tenancy.ts';

/** No namespace has the empty name: what is asked of it is in the audit, and finds nothing. */
const nowhere = '';

export function checkCalendars(
  inner: CalendarOperations,
  tenancy: Tenancy,
  seal: PageSeal,
): CalendarOperations {
  return {
    async put(calendar, caller) {
      await tenancy.admitNamespace(calendar.namespace, caller);
      return inner.put(calendar, caller);
    },
    async get(namespace, name, caller) {
      admit(caller, namespace, () => calendarNotFound(namespace, name));
      return inner.get(namespace, name, caller);
    },
    async list(namespace, page, caller) {
      const opened = seal.open(page, caller);
      if (isHidden(namespace, caller)) return { calendars: [], nextPageToken: '' };
      return seal.close(await inner.list(namespace, opened, caller), caller);
    },
    async delete(namespace, name, caller) {
      return inner.delete(isHidden(namespace, caller) ? nowhere : namespace, name, caller);
    },
  };
}

export function checkSecrets(inner: SecretOperations, tenancy: Tenancy, seal: PageSeal): SecretOperations {
  return {
    async put(request, caller) {
      await tenancy.admitNamespace(request.namespace, caller);
      return inner.put(request, caller);
    },
    async list(namespace, page, caller) {
      const opened = seal.open(page, caller);
      if (isHidden(namespace, caller)) return { secrets: [], nextPageToken: '' };
      return seal.close(await inner.list(namespace, opened, caller), caller);
    },
    async delete(namespace, name, caller) {
      return inner.delete(isHidden(namespace, caller) ? nowhere : namespace, name, caller);
    },
  };
}

/** Namespaces and their limits are for who administers all of them: no tenant widens its own limits. */
export function checkNamespaces(
  inner: NamespaceOperations,
  tenancy: Tenancy,
  seal: PageSeal,
): NamespaceOperations {
  return {
    async create(draft, caller) {
      if (!mayEverywhere(caller)) throw permissionDenied(caller, everyNamespace);
      return inner.create(draft, caller);
    },
    async list(filter, page, caller) {
      const opened = seal.open(page, caller);
      return seal.close(await inner.list(narrow(filter, caller), opened, caller), caller);
    },
    async update(name, changes, caller) {
      admit(caller, name, () => namespaceNotFound(name));
      if (!mayEverywhere(caller)) throw permissionDenied(caller, everyNamespace);
      return inner.update(name, changes, caller);
    },
    async putQueue(draft, caller) {
      await tenancy.admitNamespace(draft.namespace, caller);
      return inner.putQueue(draft, caller);
    },
    async listQueues(namespace, page, caller) {
      const opened = seal.open(page, caller);
      if (isHidden(namespace, caller)) return { queues: [], nextPageToken: '' };
      return seal.close(await inner.listQueues(namespace, opened, caller), caller);
    },
  };
}

export function checkWorkers(inner: WorkerOperations, tenancy: Tenancy, seal: PageSeal): WorkerOperations {
  return {
    async connect(hello, stream, caller) {
      await tenancy.admitNamespace(hello.namespace, caller);
      return inner.connect(hello, stream, caller);
    },
    async list(filter, page, caller) {
      const opened = seal.open(page, caller);
      return seal.close(await inner.list(narrow(filter, caller), opened, caller), caller);
    },
  };
}

/** Events of no namespace are for who administers all of them. */
export const checkAudit = (inner: AuditOperations, seal: PageSeal): AuditOperations => ({
  async list(filter, page, caller) {
    const opened = seal.open(page, caller);
    const { namespace } = filter;
    if (namespace !== undefined && !mayEverywhere(caller)) isHidden(namespace, caller);
    const namespaces = caller.access.namespacesWith(caller.permission);
    return seal.close(await inner.list({ ...filter, namespaces }, opened, caller), caller);
  },
});

/** Whether a namespace is out of the caller's sight: then it holds nothing. Refuses one where its roles do not do. */
function isHidden(namespace: string, caller: Caller): boolean {
  if (!caller.access.sees(namespace)) return true;
  if (!caller.access.allows(caller.permission, namespace)) throw permissionDenied(caller, namespace);
  return false;
}
