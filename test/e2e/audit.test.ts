/** The audit of a real instance: no secrets in it, and what is left when the instance is killed. */
import { ConnectError } from '@connectrpc/connect';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SecretKind } from '../../gen/carillon/v1/secret_pb.js';
import { firstBundle } from '../engine/targets/http/client-certificates.ts';
import { connectPg, InstanceProcess, useInstance } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { type Loss, loseNext } from '../support/lost-reply.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const database = useTestDatabase();
const env = { CARILLON_SECRET_KEY: Buffer.alloc(32, 5).toString('base64') };
const instance = useInstance(() => ({ databaseUrl: database.url, env }));
let sql: pg.Client;

beforeAll(async () => {
  sql = await connectPg(database.url);
});
afterAll(() => sql.end());

/** Where nobody listens. */
const nowhere = 'http://127.0.0.1:9/';

const ref = (name: string) => ({ ref: { case: 'key', value: { name } } }) as const;

it('keeps no secret, wherever one can be put, of calls that are carried out and that are refused', async () => {
  const { jobs, admin } = instance();
  const canary = 'CANARY7f3a9c51e8';
  const signing = `whsec_${Buffer.from(`${canary}${canary}`).toString('base64')}`;
  const parameters = {
    text: canary,
    object: { a: canary, deep: { b: [canary] } },
    list: [{ name: 'who', value: canary }],
  };
  const httpTarget = {
    kind: {
      case: 'http',
      value: {
        url: `http://127.0.0.1:9/hooks/${canary}/x?key=${canary}&${canary}`,
        headers: { Authorization: `Bearer ${canary}`, 'X-Harmless': canary },
        body: `{"password": "${canary}"}`,
      },
    },
  } as const;
  const grpcTarget = {
    kind: {
      case: 'grpc',
      value: {
        address: '127.0.0.1:9',
        metadata: { token: canary },
        tls: { enabled: true, caPem: firstBundle.split('-----BEGIN PRIVATE')[0]! },
      },
    },
  } as const;
  const refused = (call: Promise<unknown>): Promise<void> => expect(call).rejects.toThrow(ConnectError);
  const job = manualJob('canary', '', { target: httpTarget, parameters });
  await jobs.add({ job });
  await refused(jobs.add({ job }));
  await jobs.add({ job: { ...job, priority: 1 }, replace: true });
  await refused(jobs.add({ job: { ...job, priority: 2_000_000 } }));
  await jobs.update({ job: { key: { name: 'canary' }, target: grpcTarget } });
  await refused(jobs.update({ job: { key: { name: 'none' }, target: httpTarget, parameters } }));
  await jobs.trigger({ job: ref('canary'), parameters });
  await refused(jobs.trigger({ job: ref('none'), parameters }));
  await jobs.delete({ jobs: { case: 'job', value: ref('canary') } });
  await refused(jobs.add({ job: manualJob('refused', `http://${canary}:${canary}@127.0.0.1:9/`) }));
  await admin.putSecret({ name: 'canary', value: signing });
  await refused(admin.putSecret({ name: 'canary', value: `${canary}!` }));
  const kind = SecretKind.CLIENT_CERTIFICATE;
  await admin.putSecret({ name: 'me', kind, value: firstBundle });
  await refused(admin.putSecret({ name: 'me', kind, value: canary }));
  await admin.deleteSecret({ name: 'canary' });
  await admin.listAuditEvents({});
  const { rows } = await sql.query<{ event: string }>('select e::text as event from carillon.audit_event e');
  expect(rows).toHaveLength(15);
  const hidden = [canary, signing.slice(6), 'PRIVATE KEY', 'BEGIN CERTIFICATE', firstBundle.slice(100, 150)];
  expect(rows.filter(({ event }) => hidden.some((secret) => event.includes(secret)))).toEqual([]);
  // What is not secret is there: the search above looks at the right rows.
  expect(rows.filter(({ event }) => event.includes('X-Harmless'))).not.toEqual([]);
});

describe.each<Loss>(['reply', 'request'])(
  'when the %s is lost and the instance is killed at that moment',
  (loss) => {
    const made = loss === 'reply' ? 1 : 0;

    async function killedIn(
      mark: Parameters<typeof loseNext>[1],
      call: (instance: InstanceProcess) => Promise<unknown>,
    ) {
      const proxy = await TcpProxy.start({ port: Number(new URL(database.url).port) });
      const behind = await InstanceProcess.start({ databaseUrl: proxy.through(database.url), env });
      try {
        const lost = loseNext(proxy, mark, loss);
        const answer = call(behind).then(
          () => 'answered',
          () => 'failed',
        );
        await lost;
        behind.kill('SIGKILL');
        expect(await behind.ended).toEqual({ code: null, signal: 'SIGKILL' });
        expect(await answer).toBe('failed');
      } finally {
        behind.close();
        await proxy.close();
      }
    }

    const count = async (text: string, parameters: readonly string[]): Promise<number> =>
      Number((await sql.query<{ count: string }>(text, [...parameters])).rows[0]!.count);

    it('an Add has left both job and event, or neither (I5)', async () => {
      const name = `killed-add-${loss}`;
      await killedIn({ name: 'insert_audit_events' }, ({ jobs }) =>
        jobs.add({ job: manualJob(name, nowhere) }),
      );
      expect(await count('select count(*) from carillon.job where name = $1', [name])).toBe(made);
      expect(
        await count('select count(*) from carillon.audit_event where object_name = $1', [
          `default/default/${name}`,
        ]),
      ).toBe(made);
    });

    it('a Trigger has left both execution and event, or neither (I5)', async () => {
      const name = `killed-trigger-${loss}`;
      await instance().jobs.add({ job: manualJob(name, nowhere) });
      await killedIn({ name: 'insert_triggered' }, ({ jobs }) => jobs.trigger({ job: ref(name) }));
      expect(
        await count(
          'select count(*) from carillon.execution e join carillon.job j on j.id = e.job_id where j.name = $1',
          [name],
        ),
      ).toBe(made);
      expect(
        await count(
          `select count(*) from carillon.audit_event e join carillon.execution x on x.id = (e.after ->> 'executionId')::bigint
          where e.object_name = $1 and e.method = 'carillon.v1.JobService/Trigger'`,
          [`default/default/${name}`],
        ),
      ).toBe(made);
    });
  },
);
