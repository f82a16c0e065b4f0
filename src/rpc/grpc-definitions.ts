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
  handleServerStreamingCall,
  handleUnaryCall,
  MethodDefinition,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { DomainError } from '../domain/errors.ts';
import { type GrpcCallContext, GrpcStreamCall, GrpcUnaryCall } from './grpc-call.ts';
import { malformedRequest, serverIsStopping, serveStream, serveUnary } from './serve.ts';
import type { Method, Service, StreamMethod, UnaryMethod } from './services/service.ts';

/** What the handlers of a server share. */
export type GrpcContext = GrpcCallContext & { isStopping(): boolean };

/** Bytes that are not the message they should be; stands in for the request, so that the chain refuses it. */
class MalformedRequest {
  readonly error: DomainError;

  constructor(error: unknown) {
    this.error = malformedRequest(error instanceof Error ? error.message : String(error));
  }
}

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
    return new MalformedRequest(error);
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

function implementationOfMethod(
  method: Method,
  context: GrpcContext,
): handleUnaryCall<unknown, Buffer> | handleServerStreamingCall<unknown, Buffer> {
  return method.kind === 'unary' ? unaryHandler(method, context) : streamHandler(method, context);
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
  return (transport) => {
    const call = new GrpcStreamCall(method, context, transport);
    void pump(call, transport.request);
  };

  async function pump(call: GrpcStreamCall, request: unknown): Promise<void> {
    try {
      await call.open();
      const refusal = refusalOf(request, context);
      if (refusal !== undefined) return call.fail(refusal);
      for await (const message of serveStream(method, call, request as Message)) await call.write(message);
    } catch (error) {
      call.fail(error);
    }
  }
}

function refusalOf(request: unknown, context: GrpcContext): DomainError | undefined {
  if (request instanceof MalformedRequest) return request.error;
  return context.isStopping() ? serverIsStopping() : undefined;
}
