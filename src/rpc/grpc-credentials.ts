import { ServerCredentials } from '@grpc/grpc-js';
import type { TlsMaterial } from './tls-material.ts';

/**
 * The TLS of the gRPC port, which follows its material. Those that grpc-js
 * makes itself cannot be changed, or refuse callers without a certificate.
 */
export class GrpcTlsCredentials extends ServerCredentials {
  constructor(tls: TlsMaterial) {
    super(tls.serverOptions, tls.context);
    tls.onChange((context) => this.updateSecureContextOptions(context));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
