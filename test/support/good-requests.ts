import type { JsonObject } from '@bufbuild/protobuf';

const key = { name: 'a' };
const job = { key, target: { http: { url: 'http://a' } } };

/** A good request of every method without streamed requests, as JSON; it has what is required and one of each oneof. */
export const goodRequests: Readonly<Record<string, JsonObject>> = {
  'JobService/Add': { job, replace: true },
  'JobService/Get': { job: { key } },
  'JobService/List': {},
  'JobService/Update': { job: { key } },
  'JobService/Pause': { job: { key } },
  'JobService/Resume': { job: { key } },
  'JobService/Delete': { job: { key: { name: 'other' } } },
  'JobService/Trigger': { job: { key } },
  'JobService/Backfill': {
    job: { key },
    startTime: '2026-02-01T00:00:00Z',
    endTime: '2026-02-02T00:00:00Z',
  },
  'JobService/Preview': { job: { key } },
  'ExecutionService/Get': { executionId: '1' },
  'ExecutionService/List': {},
  'ExecutionService/Cancel': { byIds: { executionIds: ['1'] } },
  'ExecutionService/ListLogs': { executionId: '1' },
  'ExecutionService/Stream': { executionId: '1', follow: false },
  'AdminService/PutCalendar': { calendar: { name: 'a' } },
  'AdminService/GetCalendar': { name: 'a' },
  'AdminService/ListCalendars': {},
  'AdminService/DeleteCalendar': { name: 'other' },
  'AdminService/PutSecret': { name: 'a' },
  'AdminService/ListSecrets': {},
  'AdminService/DeleteSecret': { name: 'other' },
  'AdminService/CreateNamespace': { namespace: { name: 'a' } },
  'AdminService/ListNamespaces': {},
  'AdminService/UpdateNamespace': { namespace: { name: 'a' } },
  'AdminService/PutQueue': { queue: { name: 'a' } },
  'AdminService/ListQueues': {},
  'AdminService/ListAuditEvents': { filter: { methods: ['a'], outcomes: ['OK'] } },
  'AdminService/CreateToken': { token: { name: 'a', grants: [{ namespace: 'a', role: 'ROLE_VIEWER' }] } },
  'AdminService/ListTokens': {},
  'AdminService/RevokeToken': { tokenId: '7' },
  'AttemptService/AppendLogs': { attemptToken: 'cat_a', entries: [{ message: 'a' }] },
  'AttemptService/Heartbeat': { attemptToken: 'cat_a' },
  'AttemptService/Complete': { attemptToken: 'cat_a', state: 'EXECUTION_STATE_SUCCEEDED' },
};
