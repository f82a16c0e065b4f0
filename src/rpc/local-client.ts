import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { Interceptor } from './call.ts';
import { LocalCall, type LocalCaller } from './local-call.ts';
import type { ServerState } from './mount.ts';
import { serverIsStopping } from './serve.ts';
import type { Service, UnaryMethod } from './services/service.ts';

/** What a local client is made with. */
export type LocalClientOptions = {
  readonly services: readonly Service[];
  readonly chain: readonly Interceptor[];
  /** The server that was asked: when it stops, calls are refused and ended as its own are. */
  readonly server: ServerState;
};

/**
 * Calls the services from within the process, for whoever speaks another
 * protocol outside: through the whole chain, so that permissions, rules,
 * deadlines, logs and metrics are those of the RPCs.
 */
export class LocalClient {
  readonly #options: LocalClientOptions;
  readonly #methods = new Map<DescMethod, UnaryMethod>();

  constructor(options: LocalClientOptions) {
    this.#options = options;
    for (const method of options.services.flatMap((service) => service.methods)) {
      if (method.kind === 'unary') this.#methods.set(method.desc, method);
    }
  }

  /** The method of a descriptor. */
  method(desc: DescMethod): UnaryMethod {
    const method = this.#methods.get(desc);
    if (method === undefined) throw new Error(`${desc.toString()} is not served`);
    return method;
  }

  /**
   * Makes one call.
   *
   * @throws CallFailed where it is refused or fails.
   */
  async call<Input extends DescMessage, Output extends DescMessage>(
    caller: LocalCaller,
    desc: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
  ): Promise<MessageShape<Output>> {
    const { chain, server } = this.#options;
    const method = this.method(desc);
    const message = create(desc.input, request);
    const call = new LocalCall(method, { chain, live: server.live }, caller);
    const answer = await call.run(method, message, () =>
      server.isStopping() ? serverIsStopping() : undefined,
    );
    // The method's own descriptor says what it answers.
    return answer as MessageShape<Output>;
  }
}
