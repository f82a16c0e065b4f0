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
import type { Clock } from '../platform/clock.ts';
import { type CallingPeer, peerOf } from './calling-peer.ts';
import { ConnectCall, type ConnectCallContext, failureOfRequest } from './connect-call.ts';
import { MalformedRequest } from './malformed-request.ts';
import type { HttpRequest, HttpResponse, Mount } from './mount.ts';
import { IncomingRequests } from './request-stream.ts';
import {
  type StartHandler,
  serveResponses,
  serverIsStopping,
  serveUnary,
  startBidi,
  startStream,
} from './serve.ts';
import type { BidiMethod, Method, Service, StreamMethod, UnaryMethod } from './services/service.ts';

/** What the routes are made with. */
export type ConnectRoutesOptions = ConnectCallContext & {
  readonly services: readonly Service[];
  readonly clock: Clock;
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
const peerKey: ContextKey<CallingPeer> = createContextKey<CallingPeer>(
  { address: 'unknown', clientCertificate: () => undefined },
  { description: 'who calls' },
);

/** Serves RPC paths; says whether the request was one. */
export function createConnectRoutes(options: ConnectRoutesOptions): Mount {
  const { services, clock, logger, isStopping } = options;
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
      router.rpc(method.desc, implementationOf(method) as never);
    }
  }

  function implementationOf(method: Method) {
    switch (method.kind) {
      case 'unary':
        return unary(method);
      case 'server_streaming':
        return stream(method);
      case 'bidi_streaming':
        return bidi(method);
    }
  }

  function unary(method: UnaryMethod) {
    return (request: Message, context: HandlerContext): Promise<Message> => {
      const call = callOf(context);
      return call.serve(() => serveUnary(method, call, request));
    };
  }

  function stream(method: StreamMethod) {
    return (request: Message, context: HandlerContext): AsyncGenerator<Message> => {
      const call = callOf(context);
      return responses(call, () => startStream(method, call, request));
    };
  }

  function bidi(method: BidiMethod) {
    return (source: AsyncIterable<Message>, context: HandlerContext): AsyncGenerator<Message> => {
      const call = callOf(context);
      return responses(call, () => startBidi(method, call, readRequests(call, source, clock)));
    };
  }

  async function* responses(call: ConnectCall, start: StartHandler): AsyncGenerator<Message> {
    call.markServed();
    yield* serveResponses(call, start);
    if (call.connectError !== undefined) throw call.connectError;
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

/**
 * Reads requests as long as the handler takes them. The iteration is never
 * closed: that would destroy the HTTP/2 stream, which has a response to carry.
 */
function readRequests(call: ConnectCall, source: AsyncIterable<Message>, clock: Clock): IncomingRequests {
  const iterator = source[Symbol.asyncIterator]();
  let isPaused = false;
  const flow = {
    pause: () => {
      isPaused = true;
    },
    resume: () => {
      isPaused = false;
      read();
    },
  };
  const requests = new IncomingRequests(call, flow, clock);
  read();
  return requests;

  function read(): void {
    iterator.next().then(
      (step) => {
        if (step.done === true) return requests.end();
        requests.push(step.value);
        if (!isPaused && !call.isSettled) read();
      },
      (error: unknown) => requests.push(new MalformedRequest(failureOfRequest(error))),
    );
  }
}

function callOf(context: HandlerContext): ConnectCall {
  return context.values.get(callKey) as ConnectCall;
}
