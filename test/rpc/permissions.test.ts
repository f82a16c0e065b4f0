import { getOption, hasOption } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { PermissionSchema, permission } from '../../gen/carillon/v1/permission_pb.js';
import { createServices } from '../../src/rpc/services/services.ts';
import { FakeOperations } from '../support/fake-operations.ts';

/** What each RPC takes. A line that changes here changes who may call. */
const expected = {
  'AdminService/CreateNamespace': 'ADMINISTER',
  'AdminService/CreateToken': 'ADMINISTER',
  'AdminService/DeleteCalendar': 'EDIT',
  'AdminService/DeleteSecret': 'EDIT',
  'AdminService/GetCalendar': 'VIEW',
  'AdminService/ListAuditEvents': 'ADMINISTER',
  'AdminService/ListCalendars': 'VIEW',
  'AdminService/ListNamespaces': 'VIEW',
  'AdminService/ListQueues': 'VIEW',
  'AdminService/ListSecrets': 'VIEW',
  'AdminService/ListTokens': 'ADMINISTER',
  'AdminService/PutCalendar': 'EDIT',
  'AdminService/PutQueue': 'EDIT',
  'AdminService/PutSecret': 'EDIT',
  'AdminService/RevokeToken': 'ADMINISTER',
  'AdminService/UpdateNamespace': 'ADMINISTER',
  'AttemptService/AppendLogs': 'ATTEMPT_TOKEN',
  'AttemptService/Complete': 'ATTEMPT_TOKEN',
  'AttemptService/Heartbeat': 'ATTEMPT_TOKEN',
  'ExecutionService/Cancel': 'OPERATE',
  'ExecutionService/Get': 'VIEW',
  'ExecutionService/List': 'VIEW',
  'ExecutionService/ListLogs': 'VIEW',
  'ExecutionService/Stream': 'VIEW',
  'JobService/Add': 'EDIT',
  'JobService/Backfill': 'OPERATE',
  'JobService/Delete': 'EDIT',
  'JobService/Get': 'VIEW',
  'JobService/List': 'VIEW',
  'JobService/Pause': 'OPERATE',
  'JobService/Preview': 'VIEW',
  'JobService/Resume': 'OPERATE',
  'JobService/Trigger': 'OPERATE',
  'JobService/Update': 'EDIT',
  'WorkerService/Connect': 'WORK',
  'WorkerService/List': 'VIEW',
};

/** Every RPC that is served, also one that has no handler yet, as its descriptor says it. */
const methods = createServices(new FakeOperations()).flatMap(({ desc }) =>
  desc.methods.map((method) => ({
    name: `${desc.name}/${method.name}`,
    says: hasOption(method, permission),
    takes: PermissionSchema.value[getOption(method, permission)]?.name.replace('PERMISSION_', ''),
    isRead: method.idempotency === Idempotency.NO_SIDE_EFFECTS,
  })),
);

describe('the permission of an RPC', () => {
  it.each(methods)('is said by its proto: $name', ({ says, takes }) => {
    expect(says).toBe(true);
    expect(takes).not.toBe('UNSPECIFIED');
  });

  it('is what this table says', () => {
    expect(Object.fromEntries(methods.map(({ name, takes }) => [name, takes]))).toEqual(expected);
  });

  it('is to look, or to administer, where it changes nothing', () => {
    const reads = methods.filter(({ isRead }) => isRead);
    expect(reads.length).toBeGreaterThan(10);
    expect(reads.filter(({ takes }) => takes !== 'VIEW' && takes !== 'ADMINISTER')).toEqual([]);
  });

  it('is never to look where it changes something', () => {
    expect(methods.filter(({ isRead, takes }) => !isRead && takes === 'VIEW')).toEqual([]);
  });

  it('is the token of an attempt for what callees report, and for nothing else', () => {
    for (const { name, takes } of methods) {
      expect([name, takes === 'ATTEMPT_TOKEN']).toEqual([name, name.startsWith('AttemptService/')]);
    }
  });
});
