/**
 * Server reflection, v1 and v1alpha, over the descriptors of the services. It stands outside the chain,
 * as health does: tools ask it, and its protocol has errors of its own.
 */
import type { Buffer } from 'node:buffer';
import {
  type DescMessage,
  type DescService,
  type Message,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { type ServerDuplexStream, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.js';
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../../gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionV1alpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { describeError } from './errors.ts';
import { FileIndex } from './file-index.ts';
import { bufferOf, grpcStatusFromDescription } from './grpc-call.ts';
import { decodeForChain } from './grpc-definitions.ts';
import type { LiveCalls } from './live-calls.ts';
import { MalformedRequest } from './malformed-request.ts';

/** The reflection services that a server has to list and serve. */
export const reflectionServices: readonly DescService[] = [ServerReflection, ServerReflectionV1alpha];

type Answer = ServerReflectionResponse['messageResponse'];

/** The versions differ in their package name only, so that one schema reads the requests of both. */
export function decodeReflection(_desc: DescMessage, bytes: Uint8Array): Message | MalformedRequest {
  return decodeForChain(ServerReflectionRequestSchema, bytes);
}

/** The handlers of both versions for grpc-js; `services` are all that the server has. */
export function reflectionOf(
  services: readonly DescService[],
  live: LiveCalls,
): UntypedServiceImplementation {
  // The details of errors travel as Any: grpcurl and its like show what reflection has a type for, else bytes.
  const index = new FileIndex(services, [ErrorInfoSchema.file]);
  return {
    serverReflectionInfo(call: ServerDuplexStream<ServerReflectionRequest | MalformedRequest, Buffer>) {
      const stream = {
        fail: (failure: unknown) => call.emit('error', grpcStatusFromDescription(describeError(failure, ''))),
      };
      live.add(stream, true);
      call.on('data', (request: ServerReflectionRequest | MalformedRequest) => {
        if (request instanceof MalformedRequest) stream.fail(request.error);
        else if (!call.write(answer(index, request))) call.pause();
      });
      call.on('drain', () => call.resume());
      call.on('end', () => call.end());
      call.on('close', () => live.delete(stream));
    },
  };
}

function answer(index: FileIndex, request: ServerReflectionRequest): Buffer {
  const response: MessageShape<typeof ServerReflectionResponseSchema> = {
    $typeName: 'grpc.reflection.v1.ServerReflectionResponse',
    validHost: request.host,
    originalRequest: request,
    messageResponse: findAnswer(index, request.messageRequest),
  };
  return bufferOf(toBinary(ServerReflectionResponseSchema, response));
}

function findAnswer(index: FileIndex, request: ServerReflectionRequest['messageRequest']): Answer {
  switch (request.case) {
    case 'fileByFilename':
      return filesAnswer(index.byName(request.value), request.value);
    case 'fileContainingSymbol':
      return filesAnswer(index.bySymbol(request.value), request.value);
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = request.value;
      const files = index.byExtension(containingType, extensionNumber);
      return filesAnswer(files, `${containingType} ${extensionNumber}`);
    }
    case 'allExtensionNumbersOfType': {
      const numbers = index.extensionNumbers(request.value);
      if (numbers === undefined) return notFound(request.value);
      return {
        case: 'allExtensionNumbersResponse',
        value: {
          $typeName: 'grpc.reflection.v1.ExtensionNumberResponse',
          baseTypeName: request.value,
          extensionNumber: [...numbers],
        },
      };
    }
    case 'listServices':
      return {
        case: 'listServicesResponse',
        value: {
          $typeName: 'grpc.reflection.v1.ListServiceResponse',
          service: index.serviceNames.map((name) => ({
            $typeName: 'grpc.reflection.v1.ServiceResponse' as const,
            name,
          })),
        },
      };
    default:
      return errorAnswer(status.INVALID_ARGUMENT, 'the request asks for nothing');
  }
}

function filesAnswer(files: Uint8Array[] | undefined, asked: string): Answer {
  if (files === undefined) return notFound(asked);
  return {
    case: 'fileDescriptorResponse',
    value: { $typeName: 'grpc.reflection.v1.FileDescriptorResponse', fileDescriptorProto: files },
  };
}

function notFound(asked: string): Answer {
  return errorAnswer(status.NOT_FOUND, `not found: ${asked}`);
}

function errorAnswer(errorCode: number, errorMessage: string): Answer {
  return {
    case: 'errorResponse',
    value: { $typeName: 'grpc.reflection.v1.ErrorResponse', errorCode, errorMessage },
  };
}
