/** Tokens from their making to their end, on two instances (reliability 5.4). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.js';
import { runHere } from '../cli/command-here.ts';
import { startCommand, useCommands } from '../cli/command-line.ts';
import { awaitThat } from '../support/await-that.ts';
import { InstanceProcess } from '../support/instance-process.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { queryValue } from '../support/postgres-query.ts';

const database = useTestDatabase();
useCommands();
let one: InstanceProcess;
let two: InstanceProcess;
let root: string;
let folder: string;

beforeAll(async () => {
  const options = {
    databaseUrl: database.url,
    env: { CARILLON_ACCESS_CONTROL: 'true', CARILLON_LOG_LEVEL: 'debug' },
  };
  one = await InstanceProcess.start(options);
  two = await InstanceProcess.start({ ...options, env: { ...options.env, CARILLON_REFLECTION: 'false' } });
  root = one.firstToken;
  folder = mkdtempSync(join(tmpdir(), 'carillon-token-'));
  writeFileSync(join(folder, 'root'), `${root}\n`);
});

afterAll(async () => {
  one?.close();
  two?.close();
  await Promise.all([one?.ended, two?.ended]);
  rmSync(folder, { recursive: true, force: true });
});

const viewer = [{ namespace: 'default', role: Role.OPERATOR }];

const unauthenticated = { code: Code.Unauthenticated };

describe('the first token', () => {
  it('is printed by the first start on a database, once', () => {
    expect(root).toMatch(/^carillon_[\w-]{43}$/);
    expect(two.firstToken).toBe('');
  });

  it('is made by the command line, too, for whoever has the database', async () => {
    const { stdout, stderr, exitCode } = await startCommand(['token', 'init', '--name', 'rescue'], {
      env: { DATABASE_URL: database.url },
    }).result;
    expect([exitCode, stderr]).toEqual([
      0,
      'made a token of an administrator (rescue); it is shown this once:\n',
    ]);
    const client = one.connect(stdout.trim());
    expect((await client.admin.listTokens({})).tokens.map(({ name, creator }) => [name, creator])).toEqual([
      ['rescue', 'the operator'],
      ['first', 'the operator'],
    ]);
    client.close();
  });
});

describe('a token', () => {
  it('ends on every instance when it is revoked, with the streams that it opened', async () => {
    const admin = one.connect(root);
    const { token, text } = await admin.admin.createToken({ token: { name: 'ci', grants: viewer } });
    const clients = [one.connect(text), two.connect(text)];
    for (const client of clients) await client.jobs.list({});
    const streams = clients.map(async ({ executions }) => {
      for await (const _ of executions.stream({ source: { case: 'selector', value: { namePrefix: 'x' } } }));
    });
    const worker = clients[1]!.workers.connect(
      (async function* () {
        yield { message: { case: 'hello' as const, value: { workerId: 'w', queues: ['q'], capacity: 1 } } };
        await new Promise(() => undefined);
      })(),
    );
    const working = (async () => {
      for await (const _ of worker);
    })();
    // They are open, and known, before the token ends.
    await awaitThat('the worker is connected', async () => (await admin.workers.list({})).workers[0]);
    // Whichever of them ends first.
    const ends = [...streams, working].map((ended) => expect(ended).rejects.toMatchObject(unauthenticated));
    await admin.admin.revokeToken({ tokenId: token!.id });
    await Promise.all(ends);
    for (const client of clients) {
      await awaitThat('a revoked token is refused', () =>
        client.jobs.list({}).then(
          () => undefined,
          (error: { code: Code }) => error.code === Code.Unauthenticated || undefined,
        ),
      );
      client.close();
    }
    const again = await admin.admin.revokeToken({ tokenId: token!.id });
    expect(again.token?.revokeTime).toBeDefined();
    admin.close();
  });

  it('ends when it expires, by the clock of the database', async () => {
    const admin = one.connect(root);
    const expireTime = timestampFromMs(Date.now() + 2_500);
    const { text } = await admin.admin.createToken({ token: { name: 'short', grants: viewer, expireTime } });
    const client = one.connect(text);
    await client.jobs.list({});
    const stream = (async () => {
      for await (const _ of client.executions.stream({
        source: { case: 'selector', value: { namePrefix: 'x' } },
      }));
    })();
    await expect(stream).rejects.toMatchObject(unauthenticated);
    await expect(client.jobs.list({})).rejects.toMatchObject(unauthenticated);
    const past = { seconds: 1n };
    await expect(
      admin.admin.createToken({ token: { name: 'past', grants: viewer, expireTime: past } }),
    ).rejects.toMatchObject({ code: Code.InvalidArgument });
    client.close();
    admin.close();
  });

  it('is in no table, no log and no list; what is kept is its hash, its beginning and its last use', async () => {
    const admin = one.connect(root);
    const { text } = await admin.admin.createToken({ token: { name: 'canary', grants: viewer } });
    const client = one.connect(text);
    await client.jobs.list({});
    await expect(client.admin.listTokens({})).rejects.toMatchObject({ code: Code.PermissionDenied });
    await expect(one.connect(`${text}x`).jobs.list({})).rejects.toMatchObject(unauthenticated);
    const used = await awaitThat('the last use is noted', async () => {
      const { tokens } = await admin.admin.listTokens({});
      return tokens.find(({ name, lastUseTime }) => name === 'canary' && lastUseTime !== undefined);
    });
    expect(used.prefix).toBe(text.slice(0, 13));
    const secret = text.slice(13);
    const found = await queryValue(
      database.url,
      `select exists (select 1 from carillon.token t where t::text like '%${secret}%')`,
    );
    expect(found).toBe(false);
    expect(one.log + two.log).not.toContain(secret);
    expect(one.log).toContain('call ended');
    client.close();
    admin.close();
  });
});

it('reflection answers callers without credentials, unless CARILLON_REFLECTION takes it away', async () => {
  const ask = async (instance: InstanceProcess): Promise<unknown> => {
    const transport = createGrpcTransport({ baseUrl: `http://${instance.grpc}` });
    const requests = (async function* () {
      yield { messageRequest: { case: 'listServices' as const, value: '' } };
    })();
    for await (const { messageResponse } of createClient(ServerReflection, transport).serverReflectionInfo(
      requests,
    )) {
      return messageResponse.case;
    }
    return undefined;
  };
  expect(await ask(one)).toBe('listServicesResponse');
  await expect(ask(two)).rejects.toMatchObject({ code: Code.Unimplemented });
  expect(one.banner).toContain('grpcurl');
  expect(two.banner).not.toContain('grpcurl');
});

describe('the command line', () => {
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runHere([...args, '--address', one.grpc], { env });

  it('shows the token of a file or of CARILLON_TOKEN, and none else', async () => {
    expect((await run(['job', 'list'])).stderr).toContain('no credentials');
    expect((await run(['job', 'list'], { CARILLON_TOKEN: root })).exitCode).toBe(0);
    expect((await run(['job', 'list', '--token-file', join(folder, 'root')])).exitCode).toBe(0);
    const missing = await run(['job', 'list', '--token-file', join(folder, 'gone')]);
    expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining('ENOENT')]);
  });

  it('makes, lists and revokes tokens', async () => {
    const env = { CARILLON_TOKEN: root };
    const made = await run(['token', 'create', 'deploy', '--grant', 'editor', '--grant', 'viewer:*'], env);
    expect(made.stderr).toMatch(/^made token \d+ \(deploy\); it is shown this once:\n$/);
    expect(made.stdout).toMatch(/^carillon_[\w-]{43}\n$/);
    const id = /token (\d+)/.exec(made.stderr)![1]!;
    const listed = await run(['token', 'list'], env);
    expect(listed.stdout).toMatch(
      new RegExp(
        `^${id} +deploy +editor:default viewer:\\* +carillon_.{4}… +never +never +first \\(token`,
        'm',
      ),
    );
    expect((await run(['token', 'revoke', id], env)).stdout).toBe(`revoked token ${id} (deploy)\n`);
    expect((await run(['token', 'list'], env)).stdout).not.toContain(id);
    expect((await run(['token', 'list', '--all'], env)).stdout).toMatch(
      new RegExp(`^${id} .* revoked 20`, 'm'),
    );
    expect((await run(['token', 'create', 'x', '--grant', 'owner:a'], env)).exitCode).toBe(2);
  });
});
