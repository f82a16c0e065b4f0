/** Callees of every kind that repeat what they were sent, over real connections: what is kept of their answers. */
import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ExecutionState } from '../../../gen/carillon/v1/execution_pb.js';
import type { LogLine } from '../../../src/domain/execution.ts';
import type { HttpTarget } from '../../../src/domain/job.ts';
import { type FindSecretText, SecretText } from '../../../src/engine/secrets/secret-texts.ts';
import type { DeliveryResult } from '../../../src/engine/targets/target.ts';
import { deliverTo as deliverToGrpc, grpcTarget } from './grpc/attempt.ts';
import {
  type Answer,
  answerHeaders,
  bytesOf,
  log,
  startGrpcCallee,
  startHttp2Callee,
} from './grpc/callee.ts';
import { deliverTo, httpTarget, sampleDelivery } from './http/attempt.ts';
import { startCallee } from './http/callee.ts';
import { deliverTo as deliverToSocket, socketTarget, startSocketCallee } from './socket/attempt.ts';

const secret = 'marked/token+of="crm"=';
const key = Buffer.alloc(32, 0xfb);
const token = sampleDelivery.attemptToken;

/** Everything that a callee may have been told, in the ways in which it may repeat it. */
const told = {
  header: `Bearer ${secret}`,
  credential: secret,
  signing: `whsec_${key.toString('base64')}`,
  token,
};

const findSecretText: FindSecretText = async () => ({ text: new SecretText(`Bearer ${secret}`) });
const findSigningKeys = async () => ({ keys: [createSecretKey(key)] });

type Kept = { readonly result: DeliveryResult; readonly lines: readonly LogLine[] };

/** No part of what was told that is long enough to be known by. */
function expectNothingTold(kept: Kept): void {
  const all = JSON.stringify(kept, (_, value) =>
    typeof value === 'string' ? value.replaceAll('\\/', '/') : value,
  );
  for (const value of [secret, key.toString('base64'), token]) {
    for (let at = 0; at + 6 <= value.length; at++) {
      expect(all).not.toContain(JSON.stringify(value.slice(at, at + 6)).slice(1, -1));
    }
  }
}

/** Delivers to a callee that answers with this body. */
async function answered(
  body: string,
  type: string,
  { status = 200, ...rest }: Partial<HttpTarget> & { readonly status?: number } = {},
): Promise<Kept> {
  const callee = await startCallee((_, response) => {
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  const target = httpTarget(callee.origin, {
    secretHeaders: { Authorization: 'crm' },
    signingSecretName: 'hook',
    ...rest,
  });
  const kept = await deliverTo(target, { findSecretText, findSigningKeys });
  expect(callee.received[0]!.headers.authorization).toBe(told.header);
  expectNothingTold(kept);
  return kept;
}

const words = `got ${told.header} and ${told.credential}, ${told.signing}, ${told.token}`;
const maskedWords = 'got *** and ***, whsec_***=, ***';

describe('an HTTP callee that repeats what it was sent', () => {
  it('in lines of NDJSON has it masked, also where JSON escapes it', async () => {
    const escaped = JSON.stringify(told).replaceAll('/', '\\/').replaceAll('+', '\\u002b');
    const lines = [
      words,
      JSON.stringify({ message: words, data: told, [secret]: [told.header] }),
      `{"message": "escaped", "data": ${escaped}}`,
      `{"no": "message", "but": ${escaped}}`,
      JSON.stringify({ error: words }),
    ];
    const kept = await answered(lines.join('\n'), 'application/x-ndjson');
    const masked = { header: '***', credential: '***', signing: 'whsec_***=', token: '***' };
    expect(kept.lines).toEqual([
      { level: 'INFO', message: maskedWords },
      { level: 'INFO', message: maskedWords, data: { ...masked, '***': ['***'] } },
      { level: 'INFO', message: 'escaped', data: masked },
      { level: 'INFO', message: JSON.stringify({ no: 'message', but: masked }) },
    ]);
    expect(kept.result).toMatchObject({ outcome: 'FAILED', message: maskedWords });
  });

  it('in events has it masked', async () => {
    const result = JSON.stringify({ nested: [told] });
    const body = `data: ${words}\n\ndata: a\ndata: ${words}\n\nevent: result\ndata: ${result}\n\n`;
    const kept = await answered(`${body}event: result\ndata: ${words}\n\n`, 'text/event-stream');
    expect(kept.lines.map(({ message }) => message)).toEqual([maskedWords, `a\n${maskedWords}`, maskedWords]);
    expect(kept.result.result).toEqual({
      nested: [{ header: '***', credential: '***', signing: 'whsec_***=', token: '***' }],
    });
  });

  it('in an error of an event stream has it masked', async () => {
    const error = JSON.stringify({ message: words });
    const kept = await answered(`event: error\ndata: ${error}\n\n`, 'text/event-stream');
    expect(kept.result.message).toBe(maskedWords);
  });

  it('in a plain body has it masked, as text and as a result', async () => {
    expect((await answered(`${words}\n`, 'text/plain')).lines).toEqual([
      { level: 'INFO', message: maskedWords },
    ]);
    const { result } = await answered(JSON.stringify({ told }), 'application/json');
    expect(result.result).toEqual({
      told: { header: '***', credential: '***', signing: 'whsec_***=', token: '***' },
    });
  });

  it('in JSON that is not read as an object has it masked however its encoder escapes it', async () => {
    const callee = await startCallee(({ path }, response) => {
      const body = '{"error":"bad Basic dXNl\\u002B3f8\\u002Bd29yZA=="}';
      response.writeHead(path === '/list' ? 200 : 401, { 'content-type': 'application/json' });
      response.end(path === '/list' ? `[${body}]` : body);
    });
    const secrets = { findSecretText: async () => ({ text: new SecretText('Basic dXNl+3f8+d29yZA==') }) };
    const target = (path: string) =>
      httpTarget(callee.origin + path, { secretHeaders: { Authorization: 'crm' } });
    const failed = await deliverTo(target('/'), secrets);
    expect(failed.result.message).toBe('HTTP 401 Unauthorized: {"error":"bad ***"}');
    const { lines } = await deliverTo(target('/list'), secrets);
    expect(lines).toEqual([{ level: 'INFO', message: '[{"error":"bad ***"}]' }]);
  });

  it('in a failure has it masked in the message, also where the message is cut', async () => {
    const failed = await answered(words, 'text/plain', { status: 401 });
    expect(failed.result.message).toBe(`HTTP 401 Unauthorized: ${maskedWords}`);
    for (const at of [480, 490, 4_080, 4_090]) {
      const kept = await answered('x'.repeat(at) + words, 'text/plain', { status: 500 });
      expect(kept.result.message).toMatch(/^HTTP 500 Internal Server Error: x+/);
    }
    // Blanks are drawn together before the message is cut.
    const blank = await answered(`a${' '.repeat(4_080)}${words}`, 'text/plain', { status: 500 });
    expect(blank.result.message).toMatch(/^HTTP 500 Internal Server Error: a got \*\*\*/);
  });

  it.each(['application/x-ndjson', 'text/event-stream', 'text/plain'])(
    'in a line of %s that is cut has it masked wherever the cut is',
    async (type) => {
      const prefix = type === 'text/event-stream' ? 'data: ' : '';
      for (const before of [0, 3, told.header.length - 4, told.header.length]) {
        const text = 'x'.repeat(65_536 - before) + told.header + 'z'.repeat(1_000);
        const kept = await answered(`${prefix}${text}\n\n`, type);
        expect(kept.lines).toHaveLength(1);
        // Of a line that is read whole more fits behind the mark.
        expect(kept.lines[0]!.message.replace(/x{65000,}/, 'x').replace(/z+/, '')).toMatch(
          /^x\**… \(cut, \d+ bytes\)$/,
        );
      }
    },
  );

  it('in a body that is cut has it masked wherever the cut is', async () => {
    const kept = await deliverTo(
      httpTarget(
        (await startCallee((_, response) => response.end(`${'x'.repeat(65_530)}${told.header}`))).origin,
        { secretHeaders: { Authorization: 'crm' } },
      ),
      { findSecretText, maxBodyBytes: 65_536 },
    );
    expectNothingTold(kept);
    expect(kept.lines[0]!.message.replace(/x+/, 'x')).toBe('x***… (cut, over 65536 bytes)');
  });

  it.each(['application/x-ndjson', 'text/event-stream', 'text/plain'])(
    'in a line of %s has it masked where the connection breaks in the middle of it',
    async (type) => {
      const prefix = type === 'text/event-stream' ? 'data: ' : '';
      for (const [said, message] of [
        [`got ${told.header.slice(0, -3)}`, 'got ***'],
        [`{"got":"${secret.slice(0, 4)}`, '{"got":"***'],
        [`${'x'.repeat(65_530)}${told.header.slice(0, 12)}`, `${'x'.repeat(65_530)}***`],
      ] as const) {
        const callee = await startCallee((_, response) => {
          response.writeHead(200, { 'content-type': type, 'content-length': 100_000 });
          response.write(prefix + said, () => response.socket!.destroy());
        });
        const target = httpTarget(callee.origin, { secretHeaders: { Authorization: 'crm' } });
        const kept = await deliverTo(target, { findSecretText });
        expect(kept.result.outcome).toBe('FAILED');
        expect(kept.lines.map((line) => line.message.replace(/… .cut.*/, ''))).toEqual([message]);
      }
    },
  );

  it('in an object that is whole when the connection breaks has nothing else masked', async () => {
    const callee = await startCallee((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson', 'content-length': 1_000 });
      response.write('{"message":"music"}', () => response.socket!.destroy());
    });
    expect((await deliverTo(httpTarget(callee.origin))).lines).toEqual([{ level: 'INFO', message: 'music' }]);
  });

  it('in what it answers with a 202 has it masked', async () => {
    const kept = await answered(JSON.stringify({ told: words }), 'application/json', { status: 202 });
    expect(kept.lines).toEqual([{ level: 'INFO', message: JSON.stringify({ told: maskedWords }) }]);
    expect(kept.result.outcome).toBe('ACCEPTED');
  });

  it('in the name of an encoding has it masked', async () => {
    const callee = await startCallee((_, response) =>
      response.writeHead(200, { 'content-encoding': token }).end('x'),
    );
    const { lines } = await deliverTo(httpTarget(callee.origin));
    expect(lines).toMatchObject([
      { message: 'response body not read: content-encoding *** is not accepted' },
    ]);
  });

  it('has the token of its attempt masked where its target names no secret, and nothing else', async () => {
    const callee = await startCallee((_, response) => response.end(words));
    const { lines } = await deliverTo(httpTarget(callee.origin));
    expect(lines).toEqual([{ level: 'INFO', message: words.replace(token, '***') }]);
  });

  it('in pieces has it masked', async () => {
    const callee = await startCallee((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const bytes = Buffer.from(`${words}\n`);
      const write = (at: number): void => {
        if (at >= bytes.length) response.end();
        else response.write(bytes.subarray(at, at + 7), () => write(at + 7));
      };
      write(0);
    });
    const target = httpTarget(callee.origin, {
      secretHeaders: { Authorization: 'crm' },
      signingSecretName: 'hook',
    });
    const { lines } = await deliverTo(target, { findSecretText, findSigningKeys });
    expect(lines).toEqual([{ level: 'INFO', message: maskedWords }]);
  });
});

describe('a gRPC callee that repeats what it was sent', () => {
  const said = `got ${told.header} and ${told.credential}`;

  async function delivered(...answers: readonly Answer[]): Promise<Kept> {
    const callee = await startGrpcCallee((call) => {
      expect(call.metadata.get('authorization')).toEqual([told.header]);
      for (const answer of answers) call.write(bytesOf(answer));
      call.end();
    });
    const target = grpcTarget(callee.address, { secretMetadata: { authorization: 'crm' } });
    const kept = await deliverToGrpc(target, { findSecretText });
    for (const part of [secret, 'marked', 'token+']) expect(JSON.stringify(kept)).not.toContain(part);
    return kept;
  }

  it('in lines, their data, progress and the result has it masked', async () => {
    const { lines, result } = await delivered(
      log(said, { data: { [secret]: [{ a: told.header }], n: 1 } }),
      { case: 'progress', value: { fraction: 0.5, text: said } },
      { case: 'result', value: { state: ExecutionState.SUCCEEDED, result: { said } } },
    );
    expect(lines).toMatchObject([
      { message: 'got *** and ***', data: { '***': [{ a: '***' }], n: 1 } },
      { message: 'got *** and ***' },
    ]);
    expect(result.result).toEqual({ said: 'got *** and ***' });
  });

  it('in a line that is cut has it masked', async () => {
    const { lines } = await delivered(log('x'.repeat(65_530) + said));
    expect(lines[0]!.message.replace(/x+/, 'x')).toMatch(/^xgot \*+… \(cut, \d+ bytes\)$/);
  });

  it('in the message of its failure has it masked', async () => {
    const { result } = await delivered({
      case: 'result',
      value: { state: ExecutionState.FAILED, message: said },
    });
    expect(result.message).toBe('got *** and ***');
  });

  it('in the message of its status has it masked', async () => {
    const callee = await startHttp2Callee((stream) => {
      stream.respond(answerHeaders, { waitForTrailers: true });
      const message = encodeURIComponent(said);
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '16', 'grpc-message': message }));
      stream.end();
    });
    const target = grpcTarget(callee.address, { secretMetadata: { authorization: 'crm' } });
    const { result } = await deliverToGrpc(target, { findSecretText });
    expect(result.message).toBe('gRPC UNAUTHENTICATED: got *** and ***');
  });
});

describe('a socket callee that repeats the token of its attempt', () => {
  async function said(...lines: readonly string[]): Promise<Kept> {
    const callee = await startSocketCallee((socket, line) => {
      expect(JSON.parse(line)).toMatchObject({ attempt_token: token });
      socket.end(lines.map((each) => `${each}\n`).join(''));
    });
    const kept = await deliverToSocket(socketTarget(callee.port));
    expect(JSON.stringify(kept)).not.toContain(token);
    return kept;
  }

  it('in lines and the result has it masked', async () => {
    const { lines, result } = await said(
      `got ${token}`,
      JSON.stringify({ message: `got ${token}`, data: { [token]: token } }),
      JSON.stringify({ other: token }),
      `${'x'.repeat(65_530)}${token}`,
      JSON.stringify({ state: 'SUCCEEDED', result: { token } }),
    );
    expect(lines).toMatchObject([
      { message: 'got ***' },
      { message: 'got ***', data: { '***': '***' } },
      { message: '{"other":"***"}' },
      { message: `${'x'.repeat(65_530)}***` },
    ]);
    expect(result.result).toEqual({ token: '***' });
  });

  it.each(['got ', '{"got":"', 'x'.repeat(65_530)])(
    'in a line that the end of the connection cuts has it masked',
    async (before) => {
      const callee = await startSocketCallee((socket) => socket.end(before + token.slice(0, -1)));
      const { lines } = await deliverToSocket(socketTarget(callee.port));
      expect(lines).toEqual([{ level: 'INFO', message: `${before}***` }]);
    },
  );

  it.each([
    JSON.stringify({ state: 'FAILED', message: `got ${token}` }),
    JSON.stringify({ error: `got ${token}` }),
  ])('in a failure has it masked: %s', async (line) => {
    expect((await said(line)).result.message).toBe('got ***');
  });
});
