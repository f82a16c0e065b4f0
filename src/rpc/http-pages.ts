import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { HttpRequest, HttpResponse, Mount } from './mount.ts';

/** How long readiness may take before it counts as not ready, in milliseconds. */
const readyTimeoutMs = 2_000;

/** What the pages are made with. */
export type HttpPagesOptions = {
  readonly ready: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  isStopping(): boolean;
};

const about = `Carillon, a job-scheduling service.

The API is carillon.v1.JobService, ExecutionService and AdminService, here as Connect, gRPC-Web and gRPC, and
natively on the gRPC port. With curl:

  curl -H 'content-type: application/json' -d '{}' http://<this host>/carillon.v1.JobService/List

/healthz says that the process lives, /readyz that it can serve.
`;

/** Serves `GET /`: a page that says what this is. */
export const aboutPage: Mount = (request, response) => {
  if (!isRead(request) || pathOf(request) !== '/') return false;
  send(response, 200, 'text/plain; charset=utf-8', about);
  return true;
};

/**
 * Serves `/healthz`, which says 200 for as long as the process lives, and
 * `/readyz`, which says 200 or 503 by whether it can serve.
 */
export function createProbes(options: HttpPagesOptions): Mount {
  const { ready, clock, logger, isStopping } = options;

  return (request, response) => {
    if (!isRead(request)) return false;
    switch (pathOf(request)) {
      case '/healthz':
        sendJson(response, 200, { status: 'alive' });
        return true;
      case '/readyz':
        void isReady().then((is) =>
          sendJson(response, is ? 200 : 503, { status: is ? 'ready' : 'not ready' }),
        );
        return true;
      default:
        return false;
    }
  };

  async function isReady(): Promise<boolean> {
    if (isStopping()) return false;
    const waiting = new AbortController();
    try {
      const late = clock.sleep(readyTimeoutMs, waiting.signal).then(() => false);
      return await Promise.race([ready().then(() => true), late]);
    } catch (error) {
      // The reason may name hosts and users of the database: it stays in the log.
      logger.debug({ error }, 'not ready');
      return false;
    } finally {
      waiting.abort();
    }
  }
}

function isRead({ method }: HttpRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

function pathOf({ url = '' }: HttpRequest): string | undefined {
  return url.split('?', 1)[0];
}

/** Answers with JSON. */
export function sendJson(response: HttpResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

/** Answers what nobody serves, in the form of a Connect error. */
export const notFoundPage: Mount = (_request, response) => {
  sendJson(response, 404, {
    code: 'unimplemented',
    message: 'there is nothing here; GET / says what this is',
  });
  return true;
};

function send(response: HttpResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
