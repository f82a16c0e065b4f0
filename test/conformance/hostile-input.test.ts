/**
 * Each field of each request gets each kind of value that hurts somewhere: too
 * short, too long, of the wrong type, beyond every bound, NUL, half characters,
 * unknown enum values, keys that JavaScript uses itself, objects without end.
 * Whatever comes, the answer is a documented code with a reason, never a fault
 * of the server, through both ports.
 */
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  ScalarType,
} from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminService } from '../../gen/carillon/v1/admin_service_pb.js';
import { AttemptService } from '../../gen/carillon/v1/attempt_service_pb.js';
import { ExecutionService } from '../../gen/carillon/v1/execution_service_pb.js';
import { JobService } from '../../gen/carillon/v1/job_service_pb.js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import { validator } from '../../src/rpc/interceptors/validation.ts';
import { isSurelyValid } from '../../src/rpc/surely-valid.ts';
import { goodRequests } from '../support/good-requests.ts';
import { type Servers, startServers } from './servers.ts';
import { createGrpcJsTransport } from './transports.ts';

const key = { name: 'a' };

const methods = [JobService, ExecutionService, AdminService, AttemptService]
  .flatMap((service): readonly DescMethod[] => service.methods)
  .map((method) => [`${method.parent.name}/${method.name}`, method] as const);

/** The way to a field: the fields to go through; of a list the first item. */
type Path = readonly DescField[];

/** Every field that a request can have; messages that contain themselves once. */
function* fieldsOf(desc: DescMessage, path: Path = []): Generator<Path> {
  for (const field of desc.fields) {
    const here = [...path, field];
    yield here;
    const { message } = field;
    if (message === undefined || field.fieldKind === 'map' || message.typeName.startsWith('google.'))
      continue;
    if (!path.some((above) => above.message === message)) yield* fieldsOf(message, here);
  }
}

const hostileTexts = [
  '',
  'a\0b',
  '\ud800',
  'x\u0007',
  'x'.repeat(201),
  '夜'.repeat(70_000),
  '__proto__',
  '../../etc',
  "'; --",
];
const hostileNumbers = [
  0,
  1,
  -1,
  2_147_483_647,
  -2_147_483_648,
  2_147_483_648,
  0.5,
  'NaN',
  'Infinity',
  '1e400',
  'x',
];
const hostileLongs = [
  '0',
  '-1',
  '9007199254740991',
  '9007199254740992',
  '9223372036854775807',
  '-9223372036854775808',
  '99999999999999999999',
];
const wrongTypes: JsonValue[] = [null, true, 'x', 7, [], {}, [[]], [null], { a: null }];

function deepObject(levels: number): JsonObject {
  let value: JsonObject = {};
  for (let i = 1; i < levels; i++) value = { a: value };
  return value;
}

function hostileValues(field: DescField): JsonValue[] {
  switch (field.fieldKind) {
    case 'scalar':
      return [...wrongTypes, ...hostileScalars(field.scalar)];
    case 'enum':
      return [...wrongTypes, 0, 1, 99, -1, 2_147_483_648, 'NO_SUCH_VALUE', ''];
    case 'list':
      return [...wrongTypes, ...hostileItems(field)];
    case 'map':
      return [
        ...wrongTypes,
        ...hostileTexts.map((text) => ({ [text]: text })),
        JSON.parse('{"__proto__":"x","constructor":"y","toString":""}') as JsonObject,
        Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v'])),
      ];
    case 'message':
      return [...wrongTypes, ...hostileMessages(field.message.typeName)];
  }
}

function hostileScalars(scalar: ScalarType): JsonValue[] {
  switch (scalar) {
    case ScalarType.STRING:
      return hostileTexts;
    case ScalarType.INT64:
      return hostileLongs;
    default:
      return hostileNumbers;
  }
}

function hostileItems(field: DescField & { fieldKind: 'list' }): JsonValue[] {
  const many = (item: JsonValue): JsonValue => Array.from({ length: 10_001 }, () => item);
  if (field.listKind === 'message') return [many({}), [{}]];
  if (field.listKind === 'enum') return [[0], [99], [1, 1, 1, 1, 1, 1, 1, 1]];
  return [
    ...hostileScalars(field.scalar).map((item) => [item]),
    many(field.scalar === ScalarType.STRING ? '' : 1),
  ];
}

function hostileMessages(typeName: string): JsonValue[] {
  switch (typeName) {
    case 'google.protobuf.Timestamp':
      return [
        '0001-01-01T00:00:00Z',
        '9999-12-31T23:59:59.999999999Z',
        '1969-12-31T23:59:59Z',
        '2200-01-01T00:00:00Z',
      ];
    case 'google.protobuf.Duration':
      return ['0s', '-1s', '0.000000001s', '0.0015s', '315576000000s', '-315576000000s', '315576000001s'];
    case 'google.protobuf.FieldMask':
      return ['', 'id', 'nothing', 'target.http', 'a,,b', '__proto__', 'attemptTimeout,attemptTimeout'];
    case 'google.protobuf.Struct':
      return [
        deepObject(32),
        deepObject(33),
        deepObject(500),
        { a: 'x'.repeat(1_100_000) },
        { a: '\0' },
        { '\ud800': 1 },
        JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as JsonObject,
      ];
    default:
      return [];
  }
}

/** The good request with one value put in; what is not there on the way is made, other members of a oneof go. */
function withValue(request: JsonObject, path: Path, value: JsonValue): JsonObject {
  const copy = structuredClone(request);
  let at: JsonObject = copy;
  for (const field of path) {
    for (const other of field.oneof?.fields ?? []) if (other !== field) delete at[other.jsonName];
    if (field === path.at(-1)) break;
    const item =
      field.fieldKind === 'list' ? (at[field.jsonName] as JsonObject[] | undefined)?.[0] : at[field.jsonName];
    const next = (item ?? {}) as JsonObject;
    at[field.jsonName] = field.fieldKind === 'list' ? [next] : next;
    at = next;
  }
  at[path.at(-1)?.jsonName ?? ''] = value;
  return copy;
}

/** Why an answer is not allowed; undefined for good ones. */
function complaint(error: unknown): string | undefined {
  if (!(error instanceof ConnectError)) return `no ConnectError: ${error}`;
  const allowed = [
    Code.InvalidArgument,
    Code.NotFound,
    Code.AlreadyExists,
    Code.Aborted,
    Code.ResourceExhausted,
  ];
  if (!allowed.includes(error.code)) return `${Code[error.code]}: ${error.rawMessage}`;
  const [info] = error.findDetails(ErrorInfoSchema);
  return info?.domain === 'carillon' ? undefined : `no ErrorInfo: ${error.rawMessage}`;
}

describe.each(methods)('%s', (name, method) => {
  let servers: Servers;
  let binary: Transport & { close(): void };
  const agent = new Agent({ keepAlive: true });

  beforeAll(async () => {
    servers = await startServers();
    servers.operations.streamEnd = 'done';
    binary = createGrpcJsTransport(servers.grpc.address);
    await createClient(JobService, binary).add({
      job: { key, target: { kind: { case: 'http', value: { url: 'http://a' } } } },
    });
  });

  afterAll(async () => {
    agent.destroy();
    binary.close();
    await servers.stop();
  });

  /** Thousands of times: Node's own client takes a third of the time of fetch. */
  async function post(body: string): Promise<{ status: number; text: string }> {
    const [host, port] = servers.http.address.split(':');
    const path = `/${method.parent.typeName}/${method.name}`;
    const headers = { 'content-type': 'application/json' };
    const call = request({ host, port, path, method: 'POST', headers, agent }).end(body);
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of answer.setEncoding('utf8')) text += chunk;
    return { status: answer.statusCode ?? 0, text };
  }

  /** Sends the text as it is, for what no message can hold. Streams are not for plain JSON. */
  async function sendText(message: JsonObject): Promise<string | undefined> {
    if (method.methodKind !== 'unary') return undefined;
    const { status, text } = await post(JSON.stringify(message));
    if (status === 200) return undefined;
    if (!text.includes('"google.rpc.ErrorInfo"')) return `no ErrorInfo: ${text}`;
    return [400, 404, 409, 429].includes(status) ? undefined : `${status}: ${text}`;
  }

  async function sendBinary(request: JsonObject): Promise<string | undefined> {
    let message: Message;
    try {
      message = fromJson(method.input, request);
    } catch {
      return undefined;
    }
    if (isSurelyValid(method.input, message) && validator.validate(method.input, message).kind !== 'valid') {
      return 'the quick check says yes, the validator no';
    }
    return await answerOf(message).then(() => undefined, complaint);
  }

  async function answerOf(message: Message): Promise<void> {
    if (method.methodKind === 'unary') {
      await binary.unary(method as DescMethodUnary, undefined, 5_000, undefined, message);
    } else {
      const input = (async function* () {
        yield message;
      })();
      const { message: messages } = await binary.stream(
        method as DescMethodServerStreaming,
        undefined,
        5_000,
        undefined,
        input,
      );
      for await (const _ of messages);
    }
  }

  it('takes the good request', async () => {
    const request = goodRequests[name] ?? expect.unreachable();
    expect((await sendText(request)) ?? (await sendBinary(request))).toBeUndefined();
    expect(servers.operations.asked.length).toBeGreaterThan(1);
    expect(isSurelyValid(method.input, fromJson(method.input, request))).toBe(true);
  });

  it('answers every hostile value in every field with a documented code', async () => {
    const complaints: string[] = [];
    for (const path of fieldsOf(method.input)) {
      for (const value of hostileValues(path.at(-1) as DescField)) {
        const request = withValue(goodRequests[name] as JsonObject, path, value);
        const found = (await sendText(request)) ?? (await sendBinary(request));
        if (found !== undefined)
          complaints.push(
            `${path.map((field) => field.name).join('.')} = ${JSON.stringify(value).slice(0, 80)}: ${found}`,
          );
      }
    }
    expect(complaints).toEqual([]);
    // Some of it is harmless; all of it would mean that nothing was sent. A request of one text is refused 12 times.
    const refused = servers.ended.filter((line) => line.endsWith('INVALID_ARGUMENT')).length;
    expect(refused).toBeGreaterThan(10);
    expect(refused).toBeLessThan(servers.ended.length);
    expect(servers.logged.filter(({ level }) => level === 'error')).toEqual([]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});
