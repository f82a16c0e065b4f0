/** What an instance on a shared Postgres calls, and what it refuses to. */
import { afterEach, describe, expect, it } from 'vitest';
import { ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { startGrpcCallee } from '../engine/targets/grpc/callee.ts';
import { startCallee } from '../engine/targets/http/callee.ts';
import { startSocketCallee } from '../engine/targets/socket/attempt.ts';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstances } from '../support/instance-process.ts';
import { type JobDraft, manualJob } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';

describe('an instance on a Postgres of DATABASE_URL', () => {
  const database = useTestDatabase();
  const instances = useInstances();
  let names = 0;

  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  /** Runs a job with a target to its end. */
  async function run(carillon: InstanceProcess, target: JobDraft['target']) {
    const name = `job-${names++}`;
    await carillon.jobs.add({ job: manualJob(name, '', { target }) });
    const { execution } = await carillon.jobs.trigger({
      job: { ref: { case: 'key', value: { name } } },
    });
    const executionId = execution!.id;
    return awaitThat('it is over', async () => {
      const found = (await carillon.executions.get({ executionId })).execution!;
      return found.finishTime ? found : undefined;
    });
  }

  async function startCallees() {
    const called: string[] = [];
    const http = await startCallee((_request, response) => {
      called.push('http');
      response.end();
    });
    const grpc = await startGrpcCallee((call) => {
      called.push('grpc');
      call.end();
    });
    const socket = await startSocketCallee((connection) => {
      called.push('socket');
      connection.end('{"state":"SUCCEEDED"}\n');
    });
    const targets: NonNullable<JobDraft['target']>[] = [
      { kind: { case: 'http', value: { url: `${http.origin}/` } } },
      { kind: { case: 'grpc', value: { address: grpc.address } } },
      { kind: { case: 'socket', value: { host: '127.0.0.1', port: socket.port } } },
    ];
    return { targets, called };
  }

  it('refuses targets on loopback, once and for all, and says how to open it', async () => {
    const { targets, called } = await startCallees();
    const carillon = await instances.start({ databaseUrl: database.url, env: { CARILLON_EGRESS_ALLOW: '' } });
    for (const target of targets) {
      expect(await run(carillon, target)).toMatchObject({
        state: ExecutionState.FAILED,
        reason: ExecutionReason.TARGET_ERROR,
        attempt: 1,
        attempts: [
          {
            outcome: ExecutionState.FAILED,
            message:
              '127.0.0.1 leads to a loopback address, which may not be called; CARILLON_EGRESS_ALLOW opens it',
          },
        ],
      });
    }
    expect(called).toEqual([]);
  });

  it('calls them when CARILLON_EGRESS_ALLOW opens it', async () => {
    const { targets, called } = await startCallees();
    const carillon = await instances.start({
      databaseUrl: database.url,
      env: { CARILLON_EGRESS_ALLOW: '127.0.0.1' },
    });
    for (const target of targets) {
      expect(await run(carillon, target)).toMatchObject({ state: ExecutionState.SUCCEEDED });
    }
    expect(called).toEqual(['http', 'grpc', 'socket']);
  });

  it('calls neither its own ports nor its database, whatever is open', async () => {
    const carillon = await instances.start({
      databaseUrl: database.url,
      env: { CARILLON_EGRESS_ALLOW: '0.0.0.0/0,::/0,localhost', CARILLON_HTTP_ADDRESS: 'localhost:0' },
    });
    const postgres = new URL(database.url);
    const http = new URL(carillon.http);
    const targets: NonNullable<JobDraft['target']>[] = [
      { kind: { case: 'http', value: { url: `${http.origin}/carillon.v1.JobService/List` } } },
      { kind: { case: 'http', value: { url: `http://${carillon.grpc}/` } } },
      { kind: { case: 'grpc', value: { address: carillon.grpc } } },
      { kind: { case: 'grpc', value: { address: http.host } } },
      { kind: { case: 'socket', value: { host: 'localhost', port: Number(http.port) } } },
      { kind: { case: 'socket', value: { host: '0.0.0.0', port: Number(carillon.grpc.split(':')[1]) } } },
      { kind: { case: 'socket', value: { host: postgres.hostname, port: Number(postgres.port) } } },
      { kind: { case: 'http', value: { url: `http://127.0.0.2:${postgres.port}/` } } },
    ];
    for (const target of targets) {
      const { state, attempts } = await run(carillon, target);
      expect([target.kind?.value, state, attempts[0]?.message]).toEqual([
        target.kind?.value,
        ExecutionState.FAILED,
        expect.stringMatching(/ leads to a port of Carillon or its database, which may not be called$/),
      ]);
    }
  });
});
