/** The services as both servers see them: a table of methods with their handlers. */
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf';
import { permission as permissionOption } from '../../../gen/carillon/v1/permission_pb.js';
import type { Permission } from '../../domain/access.ts';
import type { Call } from '../call.ts';
import { permissions } from '../messages/enums.ts';

/** Answers one request with one response. */
export type UnaryHandler<Request extends Message = Message, Response extends Message = Message> = (
  request: Request,
  call: Call,
) => Promise<Response>;

/** Answers one request with a stream of responses. */
export type StreamHandler<Request extends Message = Message, Response extends Message = Message> = (
  request: Request,
  call: Call,
) => AsyncIterable<Response>;

/**
 * The requests of a call that streams them, in their order. Ends when the
 * caller has sent its last one, or when the call has succeeded; throws what
 * the call failed with, whoever let it fail: a request that breaks a rule, a
 * caller who went away, a deadline, a server that stops. Leaving a loop does
 * not close it: a second loop goes on behind the first. One `next` at a time.
 */
export type RequestStream<Request extends Message = Message> = AsyncIterableIterator<Request, undefined>;

/**
 * Answers a stream of requests with a stream of responses. Requests are read
 * no faster than the handler takes them, responses are taken no faster than
 * the caller reads them, and the call succeeds when the responses end, also
 * while requests still come. The response headers go out with the first
 * response.
 *
 * A handler that reads beside its responses, in a loop of its own, must catch
 * what that loop throws; `call.fail` takes it, and ignores it when it is the
 * call's own failure. What waits for neither is freed by `call.signal`, and
 * `call.onStopping` gives the time for a last word when the server stops.
 */
export type BidiHandler<Request extends Message = Message, Response extends Message = Message> = (
  requests: RequestStream<Request>,
  call: Call,
) => AsyncIterable<Response>;

/** The handlers of a service, typed by its descriptor. */
export type Handlers<Service extends DescService> = {
  readonly [Name in keyof Service['method']]: Service['method'][Name] extends {
    methodKind: infer Kind;
    input: infer Input extends DescMessage;
    output: infer Output extends DescMessage;
  }
    ? Kind extends 'unary'
      ? UnaryHandler<MessageShape<Input>, MessageShape<Output>>
      : Kind extends 'server_streaming'
        ? StreamHandler<MessageShape<Input>, MessageShape<Output>>
        : Kind extends 'bidi_streaming'
          ? BidiHandler<MessageShape<Input>, MessageShape<Output>>
          : never
    : never;
};

/** One method; its name is `carillon.v1.JobService/Trigger`. */
export type Method = UnaryMethod | StreamMethod | BidiMethod;

/** What every method has. */
type MethodHead = {
  readonly name: string;
  readonly desc: DescMethod;
  /** What it needs its caller to be allowed; as its proto says. */
  readonly permission: Permission;
};

/** A method with one response. */
export type UnaryMethod = MethodHead & {
  readonly kind: 'unary';
  readonly handle: UnaryHandler;
};

/** A method with a stream of responses. */
export type StreamMethod = MethodHead & {
  readonly kind: 'server_streaming';
  readonly handle: StreamHandler;
};

/** A method with a stream each way. */
export type BidiMethod = MethodHead & {
  readonly kind: 'bidi_streaming';
  readonly handle: BidiHandler;
};

/** A service with all its methods. */
export type Service = { readonly desc: DescService; readonly methods: readonly Method[] };

/** The paths of the methods whose requests are streams: such a request takes as long as its call. */
export function requestStreamPaths(services: readonly Service[]): ReadonlySet<string> {
  const methods = services.flatMap((service) => service.methods);
  return new Set(methods.filter(({ kind }) => kind === 'bidi_streaming').map(({ name }) => `/${name}`));
}

/** Binds handlers to a service; every method of the descriptor has one. */
export function bindService<Desc extends DescService>(desc: Desc, handlers: Handlers<Desc>): Service {
  const methods = desc.methods.map((method): Method => {
    // The type of Handlers holds what the erased types here cannot say.
    const handle: unknown = handlers[method.localName as keyof Handlers<Desc>];
    const name = `${desc.typeName}/${method.name}`;
    const head = { name, desc: method, permission: permissionOf(method) };
    switch (method.methodKind) {
      case 'unary':
        return { ...head, kind: 'unary', handle: handle as UnaryHandler };
      case 'server_streaming':
        return { ...head, kind: 'server_streaming', handle: handle as StreamHandler };
      case 'bidi_streaming':
        return { ...head, kind: 'bidi_streaming', handle: handle as BidiHandler };
      default:
        throw new Error(`${name} answers a stream with one response, which the servers do not do`);
    }
  });
  return { desc, methods };
}

function permissionOf(method: DescMethod): Permission {
  const permission = permissions.fromMessage(getOption(method, permissionOption));
  if (permission === undefined)
    throw new Error(`${method.toString()} does not say what it needs its caller to be allowed`);
  return permission;
}
