/**
 * Serves the routes of dialects. A request is a dialect's by its path alone;
 * from then on every answer is in that dialect's shape, whatever becomes of the
 * request: no such route, another method, a body that cannot be read, a call
 * that is refused, a fault of ours.
 */
import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import findMyWay, { type HTTPMethod } from 'find-my-way';
import type { Logger } from '../platform/logger.ts';
import { CallFailed } from '../rpc/local-call.ts';
import type { LocalClient } from '../rpc/local-client.ts';
import type { HttpRequest, HttpResponse, Mount } from '../rpc/mount.ts';
import type { Answer, Dialect, RequestLine, Route } from './dialect.ts';
import { type Failure, failureFromCall, RequestRefused } from './failure.ts';
import { isFromForeignPage } from './foreign-pages.ts';
import { GatewayRequest } from './gateway-request.ts';
import { CallerLeft } from './request-body.ts';

/** What the mount is made with. */
export type GatewayMountOptions = {
  readonly dialects: readonly Dialect[];
  readonly client: LocalClient;
  readonly logger: Logger;
  /** Web origins whose pages may ask. */
  readonly allowedOrigins: readonly string[];
};

/** Names the reason of a failure for programs, in the words of ErrorReason. */
const reasonHeader = 'carillon-reason';

const methods: readonly HTTPMethod[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

type Router = ReturnType<typeof createRouter>;

/** Serves what the dialects own. */
export function createGatewayMount(options: GatewayMountOptions): Mount {
  const { client, logger } = options;
  const allowedOrigins = new Set(options.allowedOrigins);
  const routers = options.dialects.map((dialect) => ({ dialect, router: createRouter(dialect, client) }));

  return (request, response) => {
    const line = lineOf(request);
    const found = routers.find(({ dialect }) => dialect.owns(line));
    if (found === undefined) return false;
    serve(found, line, request, response).catch((error: unknown) => {
      logger.error({ path: line.path, error }, 'gateway has no answer');
      response.destroy();
    });
    return true;
  };

  async function serve(
    { dialect, router }: { readonly dialect: Dialect; readonly router: Router },
    line: RequestLine,
    request: HttpRequest,
    response: HttpResponse,
  ): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const asked = new GatewayRequest({ request, line, dialect, client, signal: gone.signal });
    try {
      if (isFromForeignPage(request, allowedOrigins)) throw foreignPage();
      if (line.method === 'OPTIONS') return sendOptions(response, allowedMethods(router, line.path));
      const { route, params } = routeOf(router, line);
      asked.routeTo(route, params);
      send(line, response, asked, await route.handle(asked));
    } catch (error) {
      if (error instanceof CallerLeft || gone.signal.aborted) return void response.destroy();
      const failure = failureOf(error, asked);
      send(line, response, asked, withFailure(failure, dialect.refuse(failure, asked)));
    }
  }

  function failureOf(error: unknown, asked: GatewayRequest): Failure {
    if (error instanceof RequestRefused) return error.failure;
    if (error instanceof CallFailed) return failureFromCall(error);
    const { path, requestId } = asked;
    logger.error({ path, requestId, error }, 'gateway failed');
    return { status: 500, reason: 'INTERNAL', message: 'internal error' };
  }
}

/** @throws Error for two routes with one path. */
function createRouter({ routes }: Dialect, client: LocalClient) {
  const router = findMyWay({
    ignoreTrailingSlash: true,
    // Names have their own bound, whose refusal names the field.
    maxParamLength: 16_384,
  });
  for (const route of routes) {
    for (const rpc of route.rpcs) client.method(rpc);
    const served: HTTPMethod[] = isRead(route) ? [route.method, 'HEAD'] : [route.method];
    router.on(served, route.path, () => undefined, route);
  }
  return router;
}

/** Only what changes nothing may be asked for by HEAD. */
function isRead({ method, rpcs }: Route): boolean {
  return method === 'GET' && rpcs.every(({ idempotency }) => idempotency === Idempotency.NO_SIDE_EFFECTS);
}

function lineOf({ method = 'GET', url = '' }: HttpRequest): RequestLine {
  const question = url.indexOf('?');
  const path = question < 0 ? url : url.slice(0, question);
  return { method, path, query: question < 0 ? '' : url.slice(question + 1) };
}

function routeOf(
  router: Router,
  { method, path }: RequestLine,
): { readonly route: Route; readonly params: Readonly<Record<string, string | undefined>> } {
  const found = router.find(method as HTTPMethod, path);
  if (found) return { route: found.store as Route, params: found.params };
  if (!isDecodable(path)) throw new RequestRefused(400, 'the path must be percent-encoded UTF-8');
  const allow = allowedMethods(router, path);
  if (allow.length === 0) {
    throw new RequestRefused(404, 'there is nothing at this path', { reason: 'UNIMPLEMENTED' });
  }
  throw new RequestRefused(405, `the method must be ${allow.join(' or ')}`, {
    reason: 'UNIMPLEMENTED',
    allow,
  });
}

function allowedMethods(router: Router, path: string): HTTPMethod[] {
  return methods.filter((method) => router.find(method, path) !== null);
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function foreignPage(): RequestRefused {
  return new RequestRefused(
    403,
    'web pages of other origins may not ask here; CARILLON_HTTP_CORS_ORIGINS lets some',
    {
      reason: 'PERMISSION_DENIED',
    },
  );
}

function withFailure({ reason, retryAfterSeconds, allow }: Failure, answer: Answer): Answer {
  return {
    ...answer,
    headers: {
      ...answer.headers,
      [reasonHeader]: reason,
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
      ...(allow && { allow: allow.join(', ') }),
    },
  };
}

function send(line: RequestLine, response: HttpResponse, asked: GatewayRequest, answer: Answer): void {
  if (response.destroyed) return;
  const { status = 200, type, body, headers } = answer;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...Object.fromEntries(asked.answerHeaders),
    ...headers,
  });
  response.end(line.method === 'HEAD' ? undefined : body);
}

function sendOptions(response: HttpResponse, allow: readonly string[]): void {
  response.writeHead(allow.length === 0 ? 404 : 204, { allow: [...allow, 'OPTIONS'].join(', ') });
  response.end();
}
