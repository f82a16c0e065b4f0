import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { type ClientCertificate, clientCertificateOf } from './client-certificate.ts';
import type { HttpRequest } from './mount.ts';

/** Who calls, by the connection. */
export type CallingPeer = {
  /** Address and port. */
  readonly address: string;
  clientCertificate(): ClientCertificate | undefined;
};

/** Who is at the other end of a request of the HTTP port. */
export function peerOf(request: HttpRequest): CallingPeer {
  const { remoteAddress = 'unknown', remotePort } = request.socket;
  return {
    address: remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`,
    clientCertificate: () => {
      // Only a request of HTTP/2 has a stream; what it calls its socket is another object each time.
      const { stream } = request as HttpRequest & { readonly stream?: ServerHttp2Stream };
      if (stream === undefined) return clientCertificateOf(request.socket);
      return stream.session && clientCertificateOf(stream.session as ServerHttp2Session);
    },
  };
}
