/**
 * The services over connect-node. A call is opened in connect-node's request
 * gate, before its body is read, and served when the body has been decoded;
 * an error between the two settles it as well (see connect-call.ts).
 */

import type { DescMethod, Message } from '@bufbuild/protobuf';
import {
  type ConnectRouter,
  type ContextKey,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { ConnectCall, type ConnectCallContext } from './connect-call.ts';
import type { HttpRequest, HttpResponse, Mount } from './mount.ts';
import { serverIsStopping, serveStream, serveUnary } from './serve.ts';
import type { Method, Service, StreamMethod, UnaryMethod } from './services/service.ts';

/** What the routes are made with. */
export type ConnectRoutesOptions = ConnectCallContext & {
  readonly services: readonly Service[];
  /** The largest request, in bytes, also after decompression. */
  readonly maxReceiveBytes: number;
  isStopping(): boolean;
};

/**
 * A key that the proto does not have is a mistake that must not pass in
 * silence; nor must text that is not UTF-8 turn into replacement characters.
 */
const jsonOptions = { ignoreUnknownFields: false, textDecoder: new TextDecoder('utf-8', { fatal: true }) };

const callKey: ContextKey<ConnectCall | undefined> = createContextKey<ConnectCall | undefined>(undefined, {
  description: 'the call',
});
const peerKey = createContextKey('', { description: 'address and port of the caller' });

/** Serves RPC paths; says whether the request was one. */
export function createConnectRoutes(options: ConnectRoutesOptions): Mount {
  const { services, logger, isStopping } = options;
  const methods = new Map<DescMethod, Method>(
    services.flatMap((service) => service.methods).map((method) => [method.desc, method]),
  );
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: options.maxReceiveBytes,
    jsonOptions,
    requestGate: openCall,
  });
  for (const service of services) addService(router, service);
  const routes = new Map<string, UniversalHandler>(
    router.handlers.map((route) => [route.requestPath, route]),
  );

  return (request, response) => {
    const route = routes.get(request.url?.split('?', 1)[0] ?? '');
    if (route === undefined) return false;
    void respond(route, request, response);
    return true;
  };

  async function openCall(context: HandlerContext): Promise<void> {
    const method = methods.get(context.method) as Method;
    const call = new ConnectCall(method, options, context, context.values.get(peerKey));
    context.values.set(callKey, call);
    await call.open();
    if (isStopping()) call.fail(serverIsStopping());
    if (call.connectError !== undefined) throw call.connectError;
  }

  function addService(router: ConnectRouter, service: Service): void {
    for (const method of service.methods) {
      // The descriptor's kind and the handler's agree by construction.
      router.rpc(method.desc, (method.kind === 'unary' ? unary(method) : stream(method)) as never);
    }
  }

  function unary(method: UnaryMethod) {
    return (request: Message, context: HandlerContext): Promise<Message> => {
      const call = callOf(context);
      return call.serve(() => serveUnary(method, call, request));
    };
  }

  function stream(method: StreamMethod) {
    return async function* (request: Message, context: HandlerContext): AsyncGenerator<Message> {
      const call = callOf(context);
      call.markServed();
      yield* serveStream(method, call, request);
      if (call.connectError !== undefined) throw call.connectError;
    };
  }

  async function respond(
    route: UniversalHandler,
    request: HttpRequest,
    response: HttpResponse,
  ): Promise<void> {
    try {
      const values = createContextValues().set(peerKey, peerOf(request));
      const answer = await route(universalRequestFromNodeRequest(request, response, undefined, values));
      await universalResponseToNodeResponse(answer, response);
    } catch (error) {
      // The caller went away, or sent a Host that is none: nothing of ours.
      logger.debug({ method: route.method.toString(), error }, 'response not sent');
      if (!response.headersSent) response.writeHead(400);
      response.end();
    }
  }
}

function callOf(context: HandlerContext): ConnectCall {
  return context.values.get(callKey) as ConnectCall;
}

function peerOf(request: HttpRequest): string {
  const { remoteAddress = 'unknown', remotePort } = request.socket;
  return remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`;
}
