import { readFileSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import { type Command, InvalidArgumentError } from 'commander';
import type { TargetSchema, TlsOptionsSchema } from '../../gen/carillon/v1/target_pb.js';
import { durationFromText, mapFromPairs, type Pair, pairFromText, repeated } from './option-values.ts';

/** Where a job is delivered, as options. */
export type TargetOptions = {
  readonly url?: string;
  readonly method?: string;
  readonly header?: readonly Pair[];
  readonly secretHeader?: readonly Pair[];
  readonly body?: string;
  readonly template?: boolean;
  readonly signingSecret?: string;
  readonly heartbeatTimeout?: Duration;
  readonly grpc?: string;
  readonly grpcMethod?: string;
  readonly grpcMetadata?: readonly Pair[];
  readonly grpcSecretMetadata?: readonly Pair[];
  readonly socket?: HostAndPort;
  readonly tls?: boolean;
  readonly tlsServerName?: string;
  readonly tlsCa?: string;
  readonly tlsClientCertificate?: string;
  readonly queue?: string;
  readonly workerLabel?: readonly Pair[];
};

type HostAndPort = { readonly host: string; readonly port: number };

/** Every option that says where a job is delivered, with the options that it says more about; none for those that stand alone. */
const belongsTo: { readonly [Option in keyof TargetOptions]-?: readonly (keyof TargetOptions)[] } = {
  url: [],
  method: ['url'],
  header: ['url'],
  secretHeader: ['url'],
  body: ['url'],
  template: ['url'],
  signingSecret: ['url'],
  heartbeatTimeout: ['url', 'socket'],
  grpc: [],
  grpcMethod: ['grpc'],
  grpcMetadata: ['grpc'],
  grpcSecretMetadata: ['grpc'],
  socket: [],
  tls: ['grpc', 'socket'],
  tlsServerName: ['tls'],
  tlsCa: ['tls'],
  tlsClientCertificate: ['tls'],
  queue: [],
  workerLabel: ['queue'],
};

/** The names of the options that say where a job is delivered. */
export const targetOptionNames = Object.keys(belongsTo) as readonly (keyof TargetOptions)[];

/** Adds the options that say where a job is delivered. */
export function declareTargetOptions(command: Command): Command {
  return command
    .option('--url <url>', 'deliver to this http or https URL')
    .option('--method <method>', 'the method of --url (default: POST)')
    .option("--header <'name: value'>", 'a request header of --url; repeatable', repeated(pairFromText(':')))
    .option(
      '--secret-header <name=secret>',
      'a request header of --url whose value is this secret; repeatable',
      repeated(pairFromText('=')),
    )
    .option('--body <text>', 'a body of --url in place of the JSON object')
    .option('--template', 'fill in {{ placeholders }} in --url, --header and --body')
    .option('--signing-secret <name>', 'sign the requests of --url with this secret')
    .option(
      '--heartbeat-timeout <span>',
      'how long a callee of --url or --socket that reports later may be silent (default: as long as an attempt may take)',
      durationFromText,
    )
    .option('--grpc <host:port>', 'deliver to the gRPC service there')
    .option('--grpc-method <method>', 'the method of --grpc (default: carillon.v1.TargetService/Run)')
    .option('--grpc-metadata <name=value>', 'metadata of --grpc; repeatable', repeated(pairFromText('=')))
    .option(
      '--grpc-secret-metadata <name=secret>',
      'metadata of --grpc whose value is this secret; repeatable',
      repeated(pairFromText('=')),
    )
    .option('--socket <host:port>', 'deliver a line of JSON to this TCP port', hostAndPortFromText)
    .option('--tls', 'use TLS towards --grpc or --socket')
    .option('--tls-server-name <name>', 'the name that the certificate must be for (default: the host)')
    .option('--tls-ca <path>', 'a file of certificates in PEM to trust', fileFromPath)
    .option('--tls-client-certificate <secret>', 'show the certificate of this secret')
    .option('--queue <name>', 'let workers of this queue take it')
    .option(
      '--worker-label <key=value>',
      'a label that the worker of --queue must have; repeatable',
      repeated(pairFromText('=')),
    );
}

/** The target that the options describe; refuses none, several, and options of another kind. */
export function targetFrom(options: TargetOptions, command: Command): MessageInitShape<typeof TargetSchema> {
  const kinds = (['url', 'grpc', 'socket', 'queue'] as const).filter((kind) => options[kind] !== undefined);
  if (kinds.length === 0)
    return command.error('error: a job needs --url, --grpc, --socket or --queue, or --file');
  if (kinds.length > 1) {
    return command.error(`error: a job has one target: ${kinds.map(flagOf).join(' or ')}`);
  }
  for (const name of targetOptionNames) {
    const others = belongsTo[name];
    if (options[name] === undefined || others.length === 0) continue;
    if (others.every((other) => options[other] === undefined)) {
      return command.error(`error: ${flagOf(name)} belongs to ${others.map(flagOf).join(', ')}`);
    }
  }
  const { url, method, grpc, grpcMethod, socket, queue, heartbeatTimeout } = options;
  const tls = tlsFrom(options);
  if (grpc !== undefined) {
    const metadata = mapFromPairs(options.grpcMetadata);
    const secretMetadata = mapFromPairs(options.grpcSecretMetadata);
    const value = { address: grpc, method: grpcMethod, metadata, secretMetadata, tls };
    return { kind: { case: 'grpc', value } };
  }
  if (queue !== undefined) {
    return { kind: { case: 'worker', value: { queue, labels: mapFromPairs(options.workerLabel) } } };
  }
  if (socket !== undefined) {
    return { kind: { case: 'socket', value: { ...socket, tls, heartbeatTimeout } } };
  }
  const headers = mapFromPairs(options.header);
  const { body, template, signingSecret: signingSecretName } = options;
  const secretHeaders = mapFromPairs(options.secretHeader);
  const value = { url, method, headers, secretHeaders, body, template, signingSecretName, heartbeatTimeout };
  return { kind: { case: 'http', value } };
}

function tlsFrom(options: TargetOptions): MessageInitShape<typeof TlsOptionsSchema> | undefined {
  if (!options.tls) return undefined;
  const { tlsServerName: serverName, tlsCa: caPem, tlsClientCertificate } = options;
  return { enabled: true, serverName, caPem, clientCertificateSecretName: tlsClientCertificate };
}

const flagOf = (name: keyof TargetOptions): string =>
  `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Reads `host:port`; an IPv6 address is in brackets. Whether the host is one is for the service to say. */
function hostAndPortFromText(text: string): HostAndPort {
  const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!parts) throw new InvalidArgumentError('It looks like callee.example:9000 or [::1]:9000.');
  return { host: parts[1] ?? parts[2] ?? '', port: Number(parts[3]) };
}

function fileFromPath(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
