/** The services as grpc-js wants them: paths and codecs made from the descriptors. */
import type { Buffer } from 'node:buffer';
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
} from '@bufbuild/protobuf';
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { DomainError } from '../domain/errors.ts';
import { type GrpcCallContext, GrpcStreamCall, GrpcUnaryCall } from './grpc-call.ts';
import { MalformedRequest, malformedRequest } from './malformed-request.ts';
import { IncomingRequests } from './request-stream.ts';
import { serverIsStopping, serveUnary, startBidi, startStream } from './serve.ts';
import type { BidiMethod, Method, Service, StreamMethod, UnaryMethod } from './services/service.ts';

/** What the handlers of a server share. */
export type GrpcContext = GrpcCallContext & { isStopping(): boolean };

/**
 * Paths and codecs of a service. Responses are bytes already when they get
 * here. Without `decode` grpc-js answers malformed requests by itself, with
 * INTERNAL.
 */
export function definitionOf(desc: DescService, decode: Decode = fromBinary): ServiceDefinition {
  return Object.fromEntries(
    desc.methods.map((method) => [method.localName, definitionOfMethod(method, decode)]),
  );
}

type Decode = (desc: DescMessage, bytes: Uint8Array) => unknown;

function definitionOfMethod(method: DescMethod, decode: Decode): MethodDefinition<unknown, Buffer> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: neverCalled,
    requestDeserialize: (bytes) => decode(method.input, bytes),
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

/** Decodes for handlers inside the chain: a malformed request gets as far as the chain, which refuses it. */
export function decodeForChain(desc: DescMessage, bytes: Uint8Array): Message | MalformedRequest {
  try {
    return fromBinary(desc, bytes);
  } catch (error) {
    return new MalformedRequest(malformedRequest(error instanceof Error ? error.message : String(error)));
  }
}

function neverCalled(): never {
  throw new Error('a server does not encode requests');
}

/** The handlers of a service, each inside the chain. */
export function implementationOf(service: Service, context: GrpcContext): UntypedServiceImplementation {
  return Object.fromEntries(
    service.methods.map((method) => [method.desc.localName, implementationOfMethod(method, context)]),
  );
}

type Implementation =
  | handleUnaryCall<unknown, Buffer>
  | handleServerStreamingCall<unknown, Buffer>
  | handleBidiStreamingCall<unknown, Buffer>;

function implementationOfMethod(method: Method, context: GrpcContext): Implementation {
  switch (method.kind) {
    case 'unary':
      return unaryHandler(method, context);
    case 'server_streaming':
      return streamHandler(method, context);
    case 'bidi_streaming':
      return bidiHandler(method, context);
  }
}

function unaryHandler(method: UnaryMethod, context: GrpcContext): handleUnaryCall<unknown, Buffer> {
  return (transport, answer) => {
    const call = new GrpcUnaryCall(method, context, transport, answer);
    const request = transport.request;
    const serve = (): void => {
      const refusal = refusalOf(request, context);
      if (refusal === undefined) serveUnary(method, call, request as Message);
      else call.fail(refusal);
    };
    const opening = call.open();
    if (opening === undefined) serve();
    else void opening.then(serve);
  };
}

function streamHandler(
  method: StreamMethod,
  context: GrpcContext,
): handleServerStreamingCall<unknown, Buffer> {
  return async (transport) => {
    const call = new GrpcStreamCall(method, context, transport);
    const request: unknown = transport.request;
    await call.open();
    const refusal = refusalOf(request, context);
    if (refusal !== undefined) call.fail(refusal);
    else call.respond(() => startStream(method, call, request as Message));
  };
}

/** Nothing is read before the call is open: grpc-js waits for the first listener. */
function bidiHandler(method: BidiMethod, context: GrpcContext): handleBidiStreamingCall<unknown, Buffer> {
  return async (transport) => {
    const call = new GrpcStreamCall(method, context, transport);
    await call.open();
    if (context.isStopping()) return call.fail(serverIsStopping());
    const flow = { pause: () => transport.pause(), resume: () => transport.resume() };
    const requests = new IncomingRequests(call, flow, context.clock);
    transport.on('data', (request: Message | MalformedRequest) => requests.push(request));
    transport.on('end', () => requests.end());
    call.respond(() => startBidi(method, call, requests));
  };
}

function refusalOf(request: unknown, context: GrpcContext): DomainError | undefined {
  if (request instanceof MalformedRequest) return request.error;
  return context.isStopping() ? serverIsStopping() : undefined;
}
