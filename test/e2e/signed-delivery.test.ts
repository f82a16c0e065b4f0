/** Signed deliveries from a put of the secret to a callee that checks them. One instance. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ExecutionReason, ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { awaitThat } from '../support/await-that.ts';
import { type InstanceProcess, useInstance, useInstances } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';

type Delivered = { readonly body: string; readonly headers: IncomingHttpHeaders; readonly url: string };

describe('a signed delivery', () => {
  const database = useTestDatabase();
  const secretKey = Buffer.alloc(32, 5).toString('base64');
  const keyed = useInstance(() => ({
    databaseUrl: database.url,
    env: { CARILLON_SECRET_KEY: secretKey, CARILLON_LOG_LEVEL: 'debug' },
  }));
  const instances = useInstances();
  const delivered: Delivered[] = [];
  /** Which attempts are answered with 503. */
  let failing = 0;
  let callee: Server;
  let carillon: InstanceProcess;

  beforeAll(async () => {
    callee = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request.setEncoding('utf8')) body += chunk;
      delivered.push({ body, headers: request.headers, url: request.url ?? '' });
      response.writeHead(failing-- > 0 ? 503 : 204).end();
    });
    await new Promise<void>((resolve) => callee.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise((resolve) => callee.close(resolve)));

  beforeEach(() => {
    delivered.length = 0;
    failing = 0;
    carillon = keyed();
  });
  afterEach(() => {
    // Not even the debug log shows a key or a value.
    expect(carillon.log).not.toContain(secretKey);
    expect(carillon.log).not.toContain('whsec_');
  });

  const addJob = (name: string, signingSecretName: string, more = {}) => {
    const url = `http://127.0.0.1:${(callee.address() as AddressInfo).port}/{{ job.name }}`;
    const value = { url, template: true, signingSecretName, ...more };
    return carillon.jobs.add({ job: manualJob(name, '', { target: { kind: { case: 'http', value } } }) });
  };

  const trigger = async (name: string) => {
    const { execution } = await carillon.jobs.trigger({
      job: { ref: { case: 'key', value: { name } } },
      parameters: { text: 'a "quoted" text' },
    });
    return awaitThat('it is over', async () => {
      const got = await carillon.executions.get({ executionId: execution!.id });
      return got.execution?.finishTime ? got.execution : undefined;
    });
  };

  const verify = (secret: string, { body, headers }: Delivered): unknown =>
    new Webhook(secret).verify(body, headers as Record<string, string>);

  it('is believed by the callee, over attempts and while the secret is changed over', async () => {
    const { value: first } = await carillon.admin.putSecret({ name: 'hook' });
    await addJob('report', 'hook', { body: '{"text":"{{ parameters.text }}","n":{{ attempt }}}' });
    failing = 1;
    const execution = await trigger('report');
    expect(execution).toMatchObject({ state: ExecutionState.SUCCEEDED, attempt: 2 });
    expect(delivered.map((each) => verify(first, each))).toEqual([
      { text: 'a "quoted" text', n: 1 },
      { text: 'a "quoted" text', n: 2 },
    ]);
    expect(delivered.map(({ url, headers }) => [url, headers['webhook-id']])).toEqual([
      ['/report', String(execution.id)],
      ['/report', String(execution.id)],
    ]);

    const { value: second, secret } = await carillon.admin.putSecret({ name: 'hook' });
    expect(secret?.previousUntilTime).toBeDefined();
    await trigger('report');
    verify(first, delivered[2]!);
    verify(second, delivered[2]!);

    await carillon.admin.putSecret({ name: 'hook', value: first, keepPrevious: durationFromMs(0) });
    await trigger('report');
    verify(first, delivered[3]!);
    expect(() => verify(second, delivered[3]!)).toThrow('No matching signature');
  });

  it('needs a secret that exists, which then stays', async () => {
    await expect(addJob('early', 'late')).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: 'job.target.http.signing_secret_name: no secret default/late; put it first',
    });
    await carillon.admin.putSecret({ name: 'late' });
    await addJob('early', 'late');
    await expect(carillon.admin.deleteSecret({ name: 'late' })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: 'secret default/late is used by default/default/early',
    });
    const { secrets } = await carillon.admin.listSecrets({});
    expect(secrets.map(({ name }) => name)).toContain('late');
  });

  it('does not leave an instance whose key does not fit, and that one takes no secret without a key', async () => {
    await carillon.admin.putSecret({ name: 'lost' });
    const retry = { maxAttempts: 1 };
    await addJob('unsigned', 'lost');
    // It is the last test: nobody needs the instance with the key any more.
    carillon.close();
    await carillon.ended;
    carillon = await instances.start({ databaseUrl: database.url });
    await carillon.jobs.update({
      job: { key: { name: 'unsigned' }, retry },
      updateMask: { paths: ['retry'] },
    });
    expect(await trigger('unsigned')).toMatchObject({
      state: ExecutionState.FAILED,
      reason: ExecutionReason.TARGET_ERROR,
      message: expect.stringContaining('"lost" cannot be decrypted here; CARILLON_SECRET_KEY'),
    });
    expect(delivered).toEqual([]);
    await expect(carillon.admin.putSecret({ name: 'more' })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: expect.stringContaining('CARILLON_SECRET_KEY'),
    });
  });
});
