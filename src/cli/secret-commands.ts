import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  AdminServiceDeleteSecretResponseSchema,
  AdminServicePutSecretResponseSchema,
} from '../../gen/carillon/v1/admin_service_pb.js';
import { type Secret, SecretKind, SecretSchema } from '../../gen/carillon/v1/secret_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { durationFromText, instantToText, integerFromText } from './option-values.ts';
import { takeItems } from './pages.ts';

type SecretOptions = ClientOptions & { readonly namespace?: string };

/** Adds `carillon secret …`: what AdminService does with secrets. */
export function declareSecretCommands(program: Command): void {
  const group = program
    .command('secret')
    .description('Keep what HTTP targets are signed with, client certificates, and values of headers');
  declarePut(group);
  declareList(group);
  declareDelete(group);
}

const secretCommand = (group: Command, usage: string, summary: string): Command =>
  clientCommand(group, usage, summary).option(
    '--namespace <namespace>',
    'the namespace of the secret and of the jobs that name it (default: default)',
  );

/** The value is read from a file: what stands on a command line is seen by every process of the machine. */
function declarePut(group: Command): void {
  type Options = SecretOptions & {
    readonly clientCertificate?: boolean;
    readonly text?: boolean;
    readonly valueFile?: string;
    readonly keepPrevious?: Duration;
  };
  secretCommand(group, 'put <name>', 'Make a secret, or give it another value; a generated one is shown once')
    .option(
      '--client-certificate',
      'the value is PEM: a certificate, those of its authorities, and the private key without a passphrase',
    )
    .addOption(
      new Option(
        '--text',
        'the value is that of a header or of metadata: 1 to 8192 visible ASCII characters',
      ).conflicts('clientCertificate'),
    )
    .option(
      '--value-file <path>',
      'a file with the value, whsec_… or base64 or PEM or text, - for standard input (default: one is generated)',
      valueFromFile,
    )
    .option(
      '--keep-previous <span>',
      'how long the value before signs, too: 0s to 30d (default: 24h)',
      durationFromText,
    )
    .action(async (name: string, options: Options) => {
      const { namespace, valueFile: value, keepPrevious } = options;
      const kind = kindFrom(options);
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.putSecret({ namespace, name, kind, value, keepPrevious });
        if (output.isJson) return output.message(AdminServicePutSecretResponseSchema, reply);
        const { secret = create(SecretSchema) } = reply;
        const until = secret.previousUntilTime;
        const previous = until ? `, the value before signs until ${instantToText(until)}` : '';
        const { expireTime } = secret;
        const expires = expireTime ? `, the certificate expires at ${instantToText(expireTime)}` : '';
        const verb = reply.created ? 'made' : 'changed';
        output.remark(`${verb} ${nameToText(namespace, name)}${previous}${expires}`);
        if (reply.value !== '') await output.line(reply.value);
      });
    });
}

function kindFrom(options: {
  readonly clientCertificate?: boolean;
  readonly text?: boolean;
}): SecretKind | undefined {
  if (options.text) return SecretKind.TEXT;
  return options.clientCertificate ? SecretKind.CLIENT_CERTIFICATE : undefined;
}

function declareList(group: Command): void {
  type Options = SecretOptions & { readonly limit: number };
  secretCommand(group, 'list', 'List the secrets of a namespace by name, without their values')
    .option('--limit <n>', 'how many at most', integerFromText(1), 100)
    .action(async (options: Options) => {
      const { namespace, limit } = options;
      await callService(options, async ({ admin, output }) => {
        const found = await takeItems(limit, output, async (page) => {
          const { secrets: items, nextPageToken } = await admin.listSecrets({ namespace, ...page });
          return { items, nextPageToken };
        });
        if (!output.isJson) return output.table(columns, found.map(secretRow));
        for (const secret of found) await output.message(SecretSchema, secret);
      });
    });
}

function declareDelete(group: Command): void {
  secretCommand(group, 'delete <name>', 'Delete a secret that no job names').action(
    async (name: string, options: SecretOptions) => {
      await callService(options, async ({ admin, output }) => {
        const { namespace } = options;
        const reply = await admin.deleteSecret({ namespace, name });
        if (output.isJson) return output.message(AdminServiceDeleteSecretResponseSchema, reply);
        const shown = nameToText(namespace, name);
        await output.line(reply.existed ? `deleted ${shown}` : `there was no ${shown}`);
      });
    },
  );
}

const nameToText = (namespace = '', name: string): string =>
  namespace === '' || namespace === 'default' ? name : `${namespace}/${name}`;

const columns = ['NAME', 'KIND', 'CHANGED', 'PREVIOUS UNTIL', 'EXPIRES'];

const secretRow = (secret: Secret): readonly string[] => [
  secret.name,
  SecretKind[secret.kind] ?? '?',
  instantToText(secret.updateTime),
  instantToText(secret.previousUntilTime),
  instantToText(secret.expireTime),
];

function valueFromFile(path: string): string {
  let value: string;
  try {
    value = readFileSync(path === '-' ? 0 : path, 'utf8').trim();
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
  // An empty value would ask for a generated one.
  if (value === '') throw new InvalidArgumentError('It is empty.');
  return value;
}
