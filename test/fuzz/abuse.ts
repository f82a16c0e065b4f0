/** What is sent to a port without the wish for an answer: it may close the connection, and must go on. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { frameOf, frameTypes, grpcHeaders, grpcMessage, headerBlock } from '../support/raw-http2.ts';
import type { Random } from '../support/seeded-random.ts';
import { randomBytes } from './wire-messages.ts';

/** How long a connection is left to say something back, in milliseconds. */
const patienceMs = 150;

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

type Abuse = (random: Random, paths: readonly string[]) => Buffer;

const abuses: readonly Abuse[] = [
  (random) => randomBytes(random, 5_000),
  (random) => Buffer.concat([preface.subarray(0, random.below(preface.length)), randomBytes(random, 50)]),
  (random) => Buffer.concat([preface, frameOf(frameTypes.settings, 0, 0), randomFrames(random)]),
  (random, paths) => {
    const headers = headerBlock(grpcHeaders(random.pick(paths)));
    const start = [preface, frameOf(frameTypes.settings, 0, 0), frameOf(frameTypes.headers, 4, 1, headers)];
    return Buffer.concat([...start, randomFrames(random, 1)]);
  },
  (random, paths) => {
    // A call that is cut somewhere.
    const headers = headerBlock(grpcHeaders(random.pick(paths)));
    const data = frameOf(frameTypes.data, 1, 1, grpcMessage(randomBytes(random, 100)));
    const all = Buffer.concat([
      preface,
      frameOf(frameTypes.settings, 0, 0),
      frameOf(frameTypes.headers, 4, 1, headers),
      data,
    ]);
    return all.subarray(0, preface.length + random.below(all.length - preface.length));
  },
  (random, paths) => {
    const method = random.pick([
      'GET',
      'POST',
      'PUT',
      'DELETE',
      'OPTIONS',
      'CONNECT',
      'PRI',
      'NOTHING',
      '\0',
    ]);
    const path = random.pick([
      '/',
      '*',
      '//',
      '/%00',
      '/../..',
      `/${'a'.repeat(9_000)}`,
      '/?'.repeat(99),
      ...paths,
    ]);
    const headers = random.pick([
      'Host: a',
      'Host: ',
      'Host: a\r\nTransfer-Encoding: chunked',
      'Content-Length: -1',
      'Host: a\r\nUpgrade: h2c',
      ': a',
      'a\0: b',
    ]);
    return Buffer.from(
      `${method} ${path} HTTP/1.${random.below(3)}\r\n${headers}\r\n\r\n${'zz\r\n'.repeat(random.below(3))}`,
      'latin1',
    );
  },
];

function randomFrames(random: Random, streamId?: number): Buffer {
  const frames = Array.from({ length: 1 + random.below(20) }, () => {
    const payload = randomBytes(random, random.pick([0, 9, 40, 300]));
    const length = random.chance(0.9) ? payload.length : random.pick([0, 16_385, 0xff_ff_ff]);
    return frameOf(
      random.below(12),
      random.below(256),
      streamId ?? random.pick([0, 1, 2, 3, 0x7f_ff_ff_ff]),
      payload,
      length,
    );
  });
  return Buffer.concat(frames);
}

/** Does one harm to a port, in one piece or in several. */
export async function abuse(address: string, random: Random, paths: readonly string[]): Promise<void> {
  const bytes = random.pick(abuses)(random, paths);
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  // The server may cut it off at any moment: that is an answer.
  socket.on('error', () => undefined);
  socket.resume();
  await Promise.race([closed, new Promise((resolve) => socket.once('connect', resolve))]);
  for (const piece of piecesOf(bytes, random)) {
    if (!socket.writable) break;
    await written(socket, piece);
  }
  if (random.chance(0.5)) socket.end();
  await Promise.race([closed, sleep(patienceMs)]);
  if (random.chance(0.5)) socket.resetAndDestroy();
  else socket.destroy();
  await closed;
}

function piecesOf(bytes: Buffer, random: Random): readonly Buffer[] {
  if (random.chance(0.7) || bytes.length < 2) return [bytes];
  const at = random.below(bytes.length);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

const written = (socket: Socket, bytes: Buffer): Promise<void> =>
  new Promise((resolve) => socket.write(bytes, () => resolve()));
