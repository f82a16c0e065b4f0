/**
 * The callee, a process of its own: the least HTTP/1.1 that Carillon can talk
 * to, so that little of the machine goes to what is not measured.
 *
 *   /            answers 200 at once
 *   /line        streams one line that names the time it was sent, and ends after 50 ms
 *   /lines/1000  streams so many lines as fast as they are taken
 *
 * It notes how late every request came, by the fire time that the request
 * names. Requests with a body need a Content-Length, which Carillon sends.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { nowMs } from './statistics.ts';

/** A running callee. */
export class Callee {
  readonly #child: ChildProcess;
  /** Its base URL, without a slash at the end. */
  readonly url: string;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Starts the process; resolves when it listens. */
  static async start(): Promise<Callee> {
    const child = fork(import.meta.filename, ['serve']);
    const [port] = (await once(child, 'message')) as [number];
    return new Callee(child, port);
  }

  /** How late each request came since the last call, in milliseconds. */
  async takeLateness(): Promise<readonly number[]> {
    this.#child.send('take');
    const [lateness] = (await once(this.#child, 'message')) as [number[]];
    return lateness;
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

const headersEnd = Buffer.from('\r\n\r\n');
const plainAnswer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
const streamHead =
  'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n';
const linesOfChunk = 100;

let lateness: number[] = [];

async function serve(): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    let rest: Buffer = Buffer.alloc(0);
    let answered = Promise.resolve();
    socket.on('error', () => socket.destroy());
    socket.on('data', (data: Buffer) => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
      for (let end = rest.indexOf(headersEnd); end >= 0; end = rest.indexOf(headersEnd)) {
        const head = rest.toString('latin1', 0, end);
        const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
        if (rest.length < end + 4 + length) return;
        rest = rest.subarray(end + 4 + length);
        const fireTime = /^carillon-fire-time: *(\S+)/im.exec(head)?.[1];
        if (fireTime) lateness.push(nowMs() - Date.parse(fireTime));
        const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' ', head.indexOf(' ') + 1));
        if (path === '/') socket.write(plainAnswer);
        else answered = answered.then(() => stream(socket, path));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.on('message', () => {
    process.send?.(lateness);
    lateness = [];
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.((server.address() as AddressInfo).port);
}

async function stream(socket: Socket, path: string): Promise<void> {
  socket.write(streamHead);
  if (path === '/line') {
    socket.write(chunk(`{"message":"${nowMs()}"}\n`));
    await sleep(50);
  } else {
    const count = Number(path.split('/')[2]);
    for (let sent = 0; sent < count; sent += linesOfChunk) {
      let text = '';
      for (let n = sent; n < Math.min(count, sent + linesOfChunk); n++) {
        text += `{"level":"info","message":"line ${n} of a job that tells what it does at some length"}\n`;
      }
      if (!socket.write(chunk(text))) await once(socket, 'drain');
    }
  }
  socket.write('0\r\n\r\n');
}

const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

if (process.argv[2] === 'serve' && process.argv[1] === import.meta.filename) await serve();
