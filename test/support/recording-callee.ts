/**
 * An HTTP callee that writes down every hit, because "by the callee's record"
 * is the only honest proof of what was delivered.
 *
 * The path says how it behaves:
 *
 *   /ok                        answers 200 at once
 *   /slow?ms=500               answers 200 after a while
 *   /hang                      takes the request and never answers
 *   /lines?count=100&ms=5      writes one NDJSON log line after another, then a result
 *   /lines-held?count=20&ms=5  does so, and gives the result when the test calls `release`, also while it writes
 *   /held                      answers 200 when the test calls `release`
 *   /accept                    answers 202: the test reports with the hit's token
 *   /accept-held               answers 202 when the test calls `release`
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterAll, beforeAll } from 'vitest';
import { awaitThat } from './await-that.ts';

/** One request that arrived. */
export type Hit = {
  readonly path: string;
  readonly job: string;
  readonly executionId: number;
  /** The idempotency key. */
  readonly key: string;
  readonly attempt: number;
  readonly token: string;
  readonly fireAtMs: number;
  readonly arrivedAtMs: number;
  /** Set when the answer was sent in full. */
  answeredAtMs?: number;
  /** Set when the caller closed the connection before the answer was there. */
  abortedAtMs?: number;
};

/** The callee; also a callee that a test drives by hand through `release`. */
export class RecordingCallee {
  readonly #server: Server;
  readonly #held = new Set<() => void>();
  readonly hits: Hit[] = [];

  private constructor() {
    this.#server = createServer((request, response) => void this.#onRequest(request, response));
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(): Promise<RecordingCallee> {
    const callee = new RecordingCallee();
    await new Promise<void>((resolve) => callee.#server.listen(0, '127.0.0.1', resolve));
    return callee;
  }

  /** The URL of a behaviour. */
  url(path: string): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the callee is closed');
    return `http://127.0.0.1:${address.port}${path}`;
  }

  /** The hits of one job. */
  of(job: string): readonly Hit[] {
    return this.hits.filter((hit) => hit.job === job);
  }

  /** Waits until a hit is there that fits. */
  awaitHit(what: string, fits: (hit: Hit) => boolean, limitMs?: number): Promise<Hit> {
    return awaitThat(`a hit: ${what}`, () => this.hits.find(fits), limitMs);
  }

  /** Lets go of all requests to /held and the like that are here now. */
  release(): void {
    for (const answer of this.#held) answer();
    this.#held.clear();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://callee');
    const arrivedAtMs = Date.now();
    const hit = hitFrom(request, url.pathname, await bodyOf(request), arrivedAtMs);
    if (!hit) return;
    this.hits.push(hit);
    response.on('close', () => {
      if (response.writableFinished) hit.answeredAtMs = Date.now();
      else hit.abortedAtMs = Date.now();
    });
    const number = (name: string): number => Number(url.searchParams.get(name) ?? 0);
    switch (url.pathname) {
      case '/hang':
        return;
      case '/held':
        this.#held.add(() => response.end());
        return;
      case '/accept':
        response.writeHead(202).end();
        return;
      case '/accept-held':
        this.#held.add(() => response.writeHead(202).end());
        return;
      case '/slow':
        setTimeout(() => response.end(), number('ms'));
        return;
      case '/lines':
        await writeLines(response, number('count'), number('ms'));
        return;
      case '/lines-held': {
        const released = new Promise<void>((resolve) => this.#held.add(resolve));
        await writeLines(response, number('count'), number('ms'), released);
        return;
      }
      default:
        response.end();
    }
  }
}

async function writeLines(
  response: ServerResponse,
  count: number,
  ms: number,
  released?: Promise<void>,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for (let n = 1; n <= count && !response.destroyed; n++) {
    response.write(`${JSON.stringify({ level: 'info', message: `line ${n}` })}\n`);
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  }
  await released;
  response.end(`${JSON.stringify({ result: { lines: count } })}\n`);
}

/** The body; undefined when the caller went away in the middle of it. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  let body = '';
  try {
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    return body;
  } catch {
    return undefined;
  }
}

function hitFrom(
  request: IncomingMessage,
  path: string,
  body: string | undefined,
  arrivedAtMs: number,
): Hit | undefined {
  if (body === undefined) return undefined;
  const header = (name: string): string => String(request.headers[name] ?? '');
  const { job_key: jobKey } = JSON.parse(body) as { job_key: { name: string } };
  return {
    path,
    job: jobKey.name,
    executionId: Number(header('carillon-execution-id')),
    key: header('idempotency-key'),
    attempt: Number(header('carillon-attempt')),
    token: header('carillon-attempt-token'),
    fireAtMs: Date.parse(header('carillon-fire-time')),
    arrivedAtMs,
  };
}

/** A callee for the tests of a file. */
export function useRecordingCallee(): Pick<RecordingCallee, 'url' | 'of' | 'awaitHit' | 'release' | 'hits'> {
  let callee: RecordingCallee | undefined;
  const get = (): RecordingCallee => {
    if (!callee) throw new Error('the callee exists from beforeAll on');
    return callee;
  };
  beforeAll(async () => {
    callee = await RecordingCallee.start();
  });
  afterAll(() => callee?.close());
  return {
    url: (path) => get().url(path),
    of: (job) => get().of(job),
    awaitHit: (what, fits, limitMs) => get().awaitHit(what, fits, limitMs),
    release: () => get().release(),
    get hits() {
      return get().hits;
    },
  };
}
