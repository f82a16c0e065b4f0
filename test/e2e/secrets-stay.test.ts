/** Where secrets must not be, once everything has had them in hand. One instance that logs all it can. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectError } from '@connectrpc/connect';
import { expect, it, onTestFinished } from 'vitest';
import { ExecutionState } from '../../gen/carillon/v1/execution_pb.js';
import { SecretKind } from '../../gen/carillon/v1/secret_pb.js';
import { Role } from '../../gen/carillon/v1/token_pb.js';
import { bytesOf, log, startGrpcCallee } from '../engine/targets/grpc/callee.ts';
import { startCallee } from '../engine/targets/http/callee.ts';
import { awaitThat } from '../support/await-that.ts';
import { useInstances } from '../support/instance-process.ts';
import { manualJob } from '../support/job-drafts.ts';
import { useTestDatabase } from '../support/postgres.ts';
import { queryOnce } from '../support/postgres-query.ts';

const database = useTestDatabase();
const instances = useInstances();

/** Every row of every table, as text: bytes are in hexadecimal. */
async function rowsOfAllTables(): Promise<Map<string, string>> {
  const tables = await queryOnce(
    database.url,
    "select table_name as name from information_schema.tables where table_schema = 'carillon'",
  );
  const rows = new Map<string, string>();
  for (const { name } of tables) {
    const found = await queryOnce(database.url, `select t::text as row from carillon."${name}" t`);
    rows.set(String(name), found.map(({ row }) => String(row)).join('\n'));
  }
  return rows;
}

/** What Node reports of a process that is told to by a signal. */
async function reportIn(folder: string): Promise<string> {
  return awaitThat('the report is written', async () => {
    const [file] = await readdir(folder);
    const text = file === undefined ? '' : await readFile(join(folder, file), 'utf8');
    return text.endsWith('}\n') || text.endsWith('}') ? text : undefined;
  });
}

it('are in no table, no log, no answer, no argument and no report of the process', async () => {
  const key = Buffer.alloc(32, 5).toString('base64');
  const value = createHash('sha256').update('a marked secret').digest();
  const signing = `whsec_${value.toString('base64')}`;
  const [header, metadata] = ['a header', 'metadata'].map((text) =>
    createHash('sha256').update(text).digest('base64'),
  ) as [string, string];
  const reports = await mkdtemp(join(tmpdir(), 'carillon-report-'));
  onTestFinished(() => rm(reports, { recursive: true }));
  const carillon = await instances.start({
    databaseUrl: database.url,
    env: {
      ...{ CARILLON_ACCESS_CONTROL: 'true', CARILLON_LOG_LEVEL: 'debug', CARILLON_SECRET_KEY: key },
      NODE_OPTIONS: `--report-on-signal --report-directory=${reports}`,
    },
  });
  const admin = carillon.connect(carillon.firstToken);
  const { text: token } = await admin.admin.createToken({
    token: { name: 'deploy', grants: [{ namespace: 'default', role: Role.EDITOR }] },
  });
  const client = carillon.connect(token);
  // Both repeat what they were sent, and what they hold.
  const callee = await startCallee(({ headers, body }, response) => {
    const repeated = [JSON.stringify(headers), JSON.stringify({ message: body, data: headers }), signing];
    response.writeHead(202, { 'content-type': 'application/x-ndjson' }).end(repeated.join('\n'));
  });
  const grpcCallee = await startGrpcCallee((call) => {
    const repeated = String(call.metadata.get('authorization')[0]);
    call.write(bytesOf(log(repeated, { data: { repeated } })));
    call.emit('error', { code: 16, details: `not ${repeated}` });
  });

  const answers: unknown[] = [];
  const note = async (call: Promise<unknown>): Promise<void> => {
    answers.push(await call.catch(ConnectError.from));
  };
  await note(client.admin.putSecret({ name: 'hook', value: signing }));
  await note(client.admin.putSecret({ name: 'other', value: `${signing}!` }));
  const kind = SecretKind.TEXT;
  await note(client.admin.putSecret({ name: 'crm', kind, value: `Bearer ${header}` }));
  await note(client.admin.putSecret({ name: 'odd', kind, value: `${header}\n` }));
  await note(client.admin.putSecret({ name: 'erp', kind, value: metadata }));
  const http = { url: callee.origin, signingSecretName: 'hook', secretHeaders: { Authorization: 'crm' } };
  const target = { kind: { case: 'http', value: http } } as const;
  await note(client.jobs.add({ job: manualJob('report', '', { target }) }));
  const job = { ref: { case: 'key', value: { name: 'report' } } } as const;
  const { execution } = await client.jobs.trigger({ job });
  const executionId = execution!.id;
  const received = await awaitThat('it is delivered', () => callee.received[0]);
  expect(received.headers['webhook-signature']).toBeTruthy();
  expect(received.headers.authorization).toBe(`Bearer ${header}`);
  const { attempt_token: attemptToken } = JSON.parse(received.body) as { attempt_token: string };
  await client.attempts.appendLogs({ attemptToken, entries: [{ message: 'half way' }] });
  const all = [attemptToken, signing, header, `Bearer ${header}`];
  const repeating = { message: all.join(' '), data: { all } };
  await client.attempts.appendLogs({ attemptToken, entries: [repeating] });
  const wrongToken = attemptToken.replace(/.{8}$/, 'AAAAAAAA');
  await note(client.attempts.complete({ attemptToken: wrongToken, state: ExecutionState.FAILED }));
  const end = { state: ExecutionState.SUCCEEDED, message: all.join(' '), result: { all } };
  await note(client.attempts.complete({ attemptToken, ...end }));
  await note(client.executions.get({ executionId }));
  await note(client.executions.listLogs({ executionId }));
  await note(client.jobs.get({ job }));
  const grpc = { address: grpcCallee.address, secretMetadata: { authorization: 'erp' } };
  await note(
    client.jobs.add({ job: manualJob('call', '', { target: { kind: { case: 'grpc', value: grpc } } }) }),
  );
  const call = { ref: { case: 'key', value: { name: 'call' } } } as const;
  const { execution: called } = await client.jobs.trigger({ job: call });
  await awaitThat('it has failed', async () => {
    const found = await client.executions.get({ executionId: called!.id });
    answers.push(found);
    return found.execution!.state === ExecutionState.FAILED || undefined;
  });
  await note(client.executions.listLogs({ executionId: called!.id }));
  expect(grpcCallee.calls[0]!.metadata.get('authorization')).toEqual([metadata]);
  await note(client.jobs.get({ job: call }));
  await note(client.admin.listSecrets({}));
  await note(admin.admin.listTokens({}));
  await note(admin.admin.listAuditEvents({}));
  for await (const message of client.executions.stream({
    source: { case: 'executionId', value: executionId },
    follow: false,
  })) {
    answers.push(message);
  }

  const places = await rowsOfAllTables();
  places.set('the log', carillon.log);
  places.set(
    'the arguments',
    execFileSync('ps', ['-o', 'args=', '-p', String(carillon.pid)], { encoding: 'utf8' }),
  );
  carillon.kill('SIGUSR2');
  places.set('the report', await reportIn(reports));
  places.set(
    'the answers',
    JSON.stringify(answers, (_name, each) => (typeof each === 'bigint' ? String(each) : each)) +
      answers.join(),
  );
  // What is looked through is the right thing: names are there.
  for (const [place, name] of [
    ['secret', 'hook'],
    ['token', 'deploy'],
    ['the log', 'AttemptService/Complete'],
    ['the answers', 'hook'],
    ['the arguments', 'serve'],
    ['the report', '"commandLine"'],
    ['log_entry', '***'],
  ] as const) {
    expect(places.get(place)).toContain(name);
  }
  const hidden = {
    'the key of secrets': [key, Buffer.from(key, 'base64').toString('hex')],
    'the signing secret': [
      value.toString('base64').slice(0, 40),
      value.toString('hex'),
      Buffer.from(signing).toString('hex'),
    ],
    'the secret of a header': [header.slice(0, 40), Buffer.from(header).toString('hex')],
    'the secret of metadata': [metadata.slice(0, 40), Buffer.from(metadata).toString('hex')],
    'a token': [token.slice(13)],
    'the first token': [carillon.firstToken.slice(13)],
    'the token of an attempt': [attemptToken.slice(30)],
  };
  const found = [...places].flatMap(([place, content]) =>
    Object.entries(hidden)
      .filter(([, forms]) => forms.some((form) => content.includes(form)))
      .map(([secret]) => `${secret} is in ${place}`),
  );
  expect(found).toEqual([]);
  client.close();
  admin.close();
});
