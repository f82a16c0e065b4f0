import type { GrpcTarget, HttpTarget, SocketTarget, Target, WorkerTarget } from '../../domain/job.ts';
import { failureFromUnusableTarget } from './http/failure.ts';
import type { Delivery, DeliveryContext, DeliveryResult, TargetClient } from './target.ts';

export type TargetClientsOptions = {
  readonly http: TargetClient<HttpTarget>;
  readonly grpc: TargetClient<GrpcTarget>;
  readonly socket: TargetClient<SocketTarget>;
  readonly worker: TargetClient<WorkerTarget>;
};

/** Delivers attempts to targets of every kind: each kind has its client. */
export class TargetClients implements TargetClient {
  readonly #clients: TargetClientsOptions;

  constructor(clients: TargetClientsOptions) {
    this.#clients = clients;
  }

  deliver(target: Target, delivery: Delivery, context: DeliveryContext): Promise<DeliveryResult> {
    switch (target.kind) {
      case 'http':
        return this.#clients.http.deliver(target, delivery, context);
      case 'grpc':
        return this.#clients.grpc.deliver(target, delivery, context);
      case 'socket':
        return this.#clients.socket.deliver(target, delivery, context);
      case 'worker':
        return this.#clients.worker.deliver(target, delivery, context);
      default:
        // A newer version has stored a kind that this one does not know.
        return Promise.resolve(failureFromUnusableTarget(target));
    }
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#clients).map((client) => client.close()));
  }
}
