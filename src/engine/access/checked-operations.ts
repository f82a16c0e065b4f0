import type { Caller, Operations, TokenOperations } from '../operations.ts';
import { CheckedExecutions } from './checked-executions.ts';
import { CheckedJobs } from './checked-jobs.ts';
import { checkAudit, checkCalendars, checkNamespaces, checkSecrets, checkWorkers } from './checked-shared.ts';
import type { PageSeal } from './page-seal.ts';
import type { Tenancy } from './tenancy.ts';

/**
 * The operations with access control: each refuses what its caller may not do
 * where it asks to. What is not listed here decides by itself (tokens) or asks
 * for another proof (the reports of callees).
 */
export function checkOperations(inner: Operations, tenancy: Tenancy, seal: PageSeal): Operations {
  return {
    ...inner,
    jobs: new CheckedJobs(inner.jobs, tenancy, seal),
    executions: new CheckedExecutions(inner.executions, tenancy, seal),
    calendars: checkCalendars(inner.calendars, tenancy, seal),
    secrets: checkSecrets(inner.secrets, tenancy, seal),
    namespaces: checkNamespaces(inner.namespaces, tenancy, seal),
    workers: checkWorkers(inner.workers, tenancy, seal),
    tokens: checkTokens(inner.tokens, seal),
    audit: checkAudit(inner.audit, seal),
  };
}

const checkTokens = (inner: TokenOperations, seal: PageSeal): TokenOperations => ({
  create: (draft, caller) => inner.create(draft, caller),
  revoke: (tokenId, caller) => inner.revoke(tokenId, caller),
  async list(options, page, caller: Caller) {
    return seal.close(await inner.list(options, seal.open(page, caller), caller), caller);
  },
});
