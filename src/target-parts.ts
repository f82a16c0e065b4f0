/** What attempts are delivered by, and the secrets that deliveries are made with: made here, run by the engine. */
import type { Config } from './config/config.ts';
import { ClientCertificates, type FindClientCertificate } from './engine/secrets/client-certificates.ts';
import type { SecretBox, SecretName } from './engine/secrets/secret-box.ts';
import { SecretDesk } from './engine/secrets/secret-desk.ts';
import { type FindSecretText, SecretTexts } from './engine/secrets/secret-texts.ts';
import { type FindSigningKeys, SigningKeys } from './engine/secrets/signing-keys.ts';
import { TargetMasks } from './engine/secrets/target-masks.ts';
import { GrpcTargetClient } from './engine/targets/grpc-target-client.ts';
import { HttpTargetClient } from './engine/targets/http-target-client.ts';
import { SocketTargetClient } from './engine/targets/socket-target-client.ts';
import { TargetClients } from './engine/targets/target-clients.ts';
import { workerTargetClient } from './engine/targets/worker-target-client.ts';
import type { WorkerHub } from './engine/workers/worker-hub.ts';
import type { Clock } from './platform/clock.ts';
import { EgressPolicy } from './platform/egress-policy.ts';
import type { OwnPorts } from './platform/own-ports.ts';
import type { Store } from './store/store.ts';

export type TargetPartsOptions = {
  readonly config: Config;
  readonly clock: Clock;
  readonly version: string;
  readonly store: Store;
  readonly workers: WorkerHub;
  readonly box: SecretBox;
  /** What targets may not call, whatever is open. */
  readonly ownPorts: OwnPorts;
};

export type TargetParts = {
  /** The clients of all kinds of targets. */
  readonly target: TargetClients;
  readonly masks: TargetMasks;
  readonly secretDesk: SecretDesk;
};

/** Makes the clients of targets and what opens their secrets; nothing is called yet. */
export function createTargetParts(options: TargetPartsOptions): TargetParts {
  const { config, clock, version, store, workers, box, ownPorts } = options;
  const egress = new EgressPolicy(config.egress.allow, ownPorts);
  const signingKeys = new SigningKeys({ store, box, clock });
  const certificates = new ClientCertificates({ store, box, clock });
  const texts = new SecretTexts({ store, box, clock });
  const findClientCertificate: FindClientCertificate = (secret) => certificates.find(secret);
  const findSigningKeys: FindSigningKeys = (secret) => signingKeys.find(secret);
  const findSecretText: FindSecretText = (secret) => texts.find(secret);
  const onChange = (secret: SecretName): void => {
    signingKeys.forget(secret);
    certificates.forget(secret);
    texts.forget(secret);
  };
  const target = new TargetClients({
    http: new HttpTargetClient({
      version,
      egress,
      clock,
      maxConnectionsPerOrigin: config.engine.connectionsPerOrigin,
      findSigningKeys,
      findSecretText,
    }),
    grpc: new GrpcTargetClient({ version, egress, clock, findClientCertificate, findSecretText }),
    socket: new SocketTargetClient({ egress, clock, findClientCertificate }),
    worker: workerTargetClient(workers),
  });
  return {
    target,
    masks: new TargetMasks({ findSigningKeys, findSecretText }),
    secretDesk: new SecretDesk({ store, box, clock, onChange }),
  };
}
