/** The services as both servers see them: a table of methods with their handlers. */
import type { DescMessage, DescMethod, DescService, Message, MessageShape } from '@bufbuild/protobuf';
import type { Call } from '../call.ts';

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
        : never
    : never;
};

/** One method; its name is `carillon.v1.JobService/Trigger`. */
export type Method = UnaryMethod | StreamMethod;

/** A method with one response. */
export type UnaryMethod = {
  readonly kind: 'unary';
  readonly name: string;
  readonly desc: DescMethod;
  readonly handle: UnaryHandler;
};

/** A method with a stream of responses. */
export type StreamMethod = {
  readonly kind: 'server_streaming';
  readonly name: string;
  readonly desc: DescMethod;
  readonly handle: StreamHandler;
};

/** A service with all its methods. */
export type Service = { readonly desc: DescService; readonly methods: readonly Method[] };

/** Binds handlers to a service; every method of the descriptor has one. */
export function bindService<Desc extends DescService>(desc: Desc, handlers: Handlers<Desc>): Service {
  const methods = desc.methods.map((method): Method => {
    // The type of Handlers holds what the erased types here cannot say.
    const handle: unknown = handlers[method.localName as keyof Handlers<Desc>];
    const name = `${desc.typeName}/${method.name}`;
    switch (method.methodKind) {
      case 'unary':
        return { kind: 'unary', name, desc: method, handle: handle as UnaryHandler };
      case 'server_streaming':
        return { kind: 'server_streaming', name, desc: method, handle: handle as StreamHandler };
      default:
        throw new Error(`${name} streams its requests, which the servers do not do`);
    }
  });
  return { desc, methods };
}
