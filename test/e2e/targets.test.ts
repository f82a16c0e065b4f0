/** Executions on targets other than HTTP, from Add to the log and the result. One instance. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ExecutionReason, ExecutionState, LogLevel } from '../../gen/carillon/v1/execution_pb.js';
import type { Target } from '../../gen/carillon/v1/target_pb.js';
import { bytesOf, type Call, log, startGrpcCallee } from '../engine/targets/grpc/callee.ts';
import { localhostCertificate, testKey } from '../engine/targets/http/certificates.ts';
import { startSocketCallee } from '../engine/targets/socket/attempt.ts';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance } from '../support/instance-process.ts';
import { type JobDraft, manualJob } from '../support/job-drafts.ts';
import { auditLedger } from '../support/ledger-audit.ts';
import { useTestDatabase } from '../support/postgres.ts';

describe('an execution', () => {
  const database = useTestDatabase();
  const instance = useInstance(() => ({ databaseUrl: database.url }));
  let carillon: InstanceProcess;
  let names = 0;
  let name: string;

  beforeEach(() => {
    carillon = instance();
    name = `job-${names++}`;
  });
  afterEach(async () => {
    expect(await auditLedger(database.url)).toEqual([]);
  });

  const ref = () => ({ ref: { case: 'key', value: { name } } }) as const;

  /** Adds a job with a target and triggers it. */
  async function trigger(target: JobDraft['target'], more: JobDraft = {}): Promise<bigint> {
    await carillon.jobs.add({ job: manualJob(name, '', { target, ...more }) });
    const { execution } = await carillon.jobs.trigger({ job: ref(), parameters: { text: 'now' } });
    return execution!.id;
  }

  const get = async (executionId: bigint) => (await carillon.executions.get({ executionId })).execution!;
  const awaitEnd = (executionId: bigint) =>
    awaitThat('it is over', async () => {
      const execution = await get(executionId);
      return execution.finishTime ? execution : undefined;
    });
  const linesOf = async (executionId: bigint) =>
    (await carillon.executions.listLogs({ executionId })).entries.map(
      ({ seq, level, message, data, attempt }) => ({
        seq: Number(seq),
        level: LogLevel[level],
        message,
        ...(data && { data }),
        attempt,
      }),
    );

  it('on a gRPC target has the log and the result of the attempt that succeeded', async () => {
    const callee = await startGrpcCallee((call: Call) => {
      call.write(
        bytesOf(log(`attempt ${call.request.attempt}`, { data: { key: call.request.idempotencyKey } })),
      );
      if (call.request.attempt === 1) {
        call.emit('error', { code: status.UNAVAILABLE, details: 'not yet' });
        return;
      }
      call.write(bytesOf({ case: 'progress', value: { fraction: 0.5 } }));
      call.write(bytesOf({ case: 'result', value: { result: { rows: 3 } } }));
      call.end();
    });
    const id = await trigger({ kind: { case: 'grpc', value: { address: callee.address } } });
    const execution = await awaitEnd(id);
    expect(execution).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 2, result: { rows: 3 } });
    expect(execution.attempts[0]).toMatchObject({
      outcome: ExecutionState.FAILED,
      reason: ExecutionReason.TARGET_ERROR,
      message: 'gRPC UNAVAILABLE: not yet',
    });
    expect(await linesOf(id)).toEqual([
      { seq: 1, level: 'INFO', message: 'attempt 1', data: { key: String(id) }, attempt: 1 },
      { seq: 2, level: 'INFO', message: 'attempt 2', data: { key: String(id) }, attempt: 2 },
      { seq: 3, level: 'INFO', message: 'progress 50 %', data: { progress: 0.5 }, attempt: 2 },
    ]);
    expect(callee.calls.map(({ request }) => request.parameters?.text)).toEqual(['now', 'now']);
  });

  it('on a gRPC target ends at its timeout, and by a cancel; the callee hears of both', async () => {
    const canceled: string[] = [];
    const callee = await startGrpcCallee((call: Call) => {
      call.write(bytesOf(log('working')));
      call.on('cancelled', () => canceled.push(call.request.idempotencyKey));
    });
    const kind = { case: 'grpc', value: { address: callee.address } } as const;
    const slow = await trigger(
      { kind },
      { attemptTimeout: durationFromMs(1_000), retry: { maxAttempts: 1 } },
    );
    expect(await awaitEnd(slow)).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.ATTEMPT_TIMEOUT,
    });
    name = `${name}-canceled`;
    const unwanted = await trigger({ kind });
    await awaitThat('it works', async () => (await linesOf(unwanted)).length === 1);
    await carillon.executions.cancel({
      executions: { case: 'byIds', value: { executionIds: [unwanted] } },
    });
    expect(await awaitEnd(unwanted)).toMatchObject({ state: ExecutionState.CANCELED });
    await awaitThat('the callee knows', () => canceled.length === 2);
    expect(canceled).toEqual([String(slow), String(unwanted)]);
  });

  it('on a socket target over TLS has the log and the result', async () => {
    const callee = await startSocketCallee(
      (socket, line) => {
        const { execution_id: id, parameters } = JSON.parse(line);
        socket.write(`${JSON.stringify({ level: 'warn', message: parameters.text, data: { id } })}\n`);
        socket.write('{"state":"SUCCEEDED","result":{"rows":3}}\n');
      },
      { key: testKey, cert: localhostCertificate },
    );
    const tls = { enabled: true, caPem: localhostCertificate };
    const value = { host: 'localhost', port: callee.port, tls };
    const id = await trigger({ kind: { case: 'socket', value } });
    expect(await awaitEnd(id)).toMatchObject({ state: ExecutionState.SUCCEEDED, result: { rows: 3 } });
    expect(await linesOf(id)).toEqual([
      { seq: 1, level: 'WARN', message: 'now', data: { id: Number(id) }, attempt: 1 },
    ]);
  });

  it('on a socket target that closes too early is retried as often as the job says', async () => {
    const callee = await startSocketCallee((socket) => socket.end('bye\n'));
    const value = { host: '127.0.0.1', port: callee.port };
    const id = await trigger({ kind: { case: 'socket', value } }, { retry: { maxAttempts: 2 } });
    expect(await awaitEnd(id)).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.TARGET_ERROR,
      message: 'connection closed by callee before it sent a result',
      attempt: 2,
    });
    expect(callee.received).toHaveLength(2);
  });

  it.each<[string, Target['kind']['case'], object]>([
    ['job.target.grpc.address', 'grpc', { address: 'dns:callee.example:1' }],
    ['job.target.grpc.metadata["te"]', 'grpc', { address: 'a:1', metadata: { te: 'x' } }],
    ['job.target.socket.host', 'socket', { host: 'unix:/x', port: 1 }],
    ['job.target.socket.tls.ca_pem', 'socket', { host: 'a', port: 1, tls: { enabled: true, caPem: 'x' } }],
  ])('is not owed by a job whose %s is wrong: it is refused', async (field, kind, value) => {
    const job = manualJob(name, '', { target: { kind: { case: kind, value } as never } });
    const error = await carillon.jobs.add({ job }).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({
      code: Code.InvalidArgument,
      message: expect.stringContaining(`${field}: `),
    });
  });
});
