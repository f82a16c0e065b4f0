/** Keys of secrets that change over on real instances, one of which is killed. */
import { expect, it } from 'vitest';
import { SecretKind } from '../../gen/carillon/v1/secret_pb.js';
import { startCallee } from '../engine/targets/http/callee.ts';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';

const database = useTestDatabase();
const instances = useInstances();
const [oldKey, newKey] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [string, string];

const start = (...keys: string[]): Promise<InstanceProcess> =>
  instances.start({
    databaseUrl: database.url,
    env: {
      CARILLON_SECRET_KEY: keys.join(),
      CARILLON_ENGINE_INSTANCE_TTL_MS: 2_000,
      CARILLON_ENGINE_LEASE_TTL_MS: 2_000,
      CARILLON_ENGINE_LEASE_RENEW_MS: 400,
    },
  });

it('lets the old key go once an instance with the new one in front has led', async () => {
  const callee = await startCallee((_, response) => response.writeHead(204).end());
  const job = { ref: { case: 'key', value: { name: 'report' } } } as const;
  const deliveredBy = async ({ jobs }: InstanceProcess): Promise<unknown> => {
    const before = callee.received.length;
    await jobs.trigger({ job });
    return (await awaitThat('it is delivered', () => callee.received[before])).headers.authorization;
  };
  const first = await start(oldKey);
  await first.admin.putSecret({ name: 'crm', kind: SecretKind.TEXT, value: 'Bearer x' });
  const http = { url: callee.origin, secretHeaders: { Authorization: 'crm' } };
  await first.jobs.add({ job: manualJob('report', '', { target: { kind: { case: 'http', value: http } } }) });
  expect(await deliveredBy(first)).toBe('Bearer x');

  const second = await start(newKey, oldKey);
  expect(await deliveredBy(first)).toBe('Bearer x');
  first.kill('SIGKILL');
  await awaitThat('the secret is sealed anew', () => second.log.includes('"sealed":1,"left":{"key2":0}'));
  await second.stop();

  const third = await start(newKey);
  expect(await deliveredBy(third)).toBe('Bearer x');
  for (const { log } of [first, second, third]) {
    for (const key of [oldKey, newKey]) expect(log).not.toContain(key);
  }
});
