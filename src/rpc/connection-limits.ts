/**
 * What one connection may cost, by the settings that Node's HTTP servers have
 * for it. Both ports get the same; what Node has no setting for is
 * connection-guard.ts's to hold.
 *
 * | limit | number | why, and what a caller sees beyond it |
 * | --- | --- | --- |
 * | calls at once on a connection | 1,000 | announced; a stream too many is refused, or ends the connection of a client that has acknowledged the number |
 * | header pairs of a request | 128 | nobody sends 40; the stream is reset with ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED to gRPC |
 * | header bytes of a request | 32 KiB | a token and cookies fit; likewise, and 431 in HTTP/1.1 |
 * | memory of a connection | 64 MiB | requests and answers that wait; further streams are refused |
 * | resets of streams | 1,000 at once, 33 a second | CVE-2023-44487; the connection ends |
 * | invalid frames, refused streams | 100 each | the connection ends |
 * | unanswered pings | 10 | what this side asks and the other does not answer |
 */
import type { ServerOptions } from 'node:http2';

/** The most bytes of headers that a request may have; in HTTP/2 each pair counts 32 more, as RFC 9113 has it. */
export const maxHeaderBytes = 32 * 1_024;

/** The settings for `node:http2`; grpc-js passes them on. */
export const http2Limits = {
  settings: { maxConcurrentStreams: 1_000, maxHeaderListSize: maxHeaderBytes },
  maxHeaderListPairs: 128,
  maxSessionMemory: 64,
  maxSessionInvalidFrames: 100,
  maxSessionRejectedStreams: 100,
  maxOutstandingPings: 10,
  streamResetBurst: 1_000,
  streamResetRate: 33,
} as const satisfies ServerOptions;
