import { create } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type Command, InvalidArgumentError } from 'commander';
import {
  AdminServiceCreateTokenResponseSchema,
  AdminServiceRevokeTokenResponseSchema,
} from '../../gen/carillon/v1/admin_service_pb.js';
import { type Grant, GrantSchema, Role, type Token, TokenSchema } from '../../gen/carillon/v1/token_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { idFromText, instantFromText, instantToText, integerFromText, repeated } from './option-values.ts';
import { takeItems } from './pages.ts';
import { declareTokenInit } from './token-init-command.ts';

/** Adds `carillon token …`: what AdminService does with tokens, and the token of whoever has the database. */
export function declareTokenCommands(program: Command): void {
  const group = program.command('token').description('Say who may call, and what they may do');
  declareCreate(group);
  declareList(group);
  declareRevoke(group);
  declareTokenInit(group);
}

const roleNames = ['viewer', 'operator', 'editor', 'admin', 'worker'] as const;

function grantFromText(text: string): Grant {
  const [, name = '', namespace = 'default'] = /^([^:]*)(?::(.+))?$/su.exec(text) ?? [];
  const role = roleNames.find((known) => known === name);
  if (!role) {
    throw new InvalidArgumentError(
      `It has the form role[:namespace]; the roles are ${roleNames.join(', ')}.`,
    );
  }
  return create(GrantSchema, { namespace, role: Role[role.toUpperCase() as keyof typeof Role] });
}

function declareCreate(group: Command): void {
  type Options = ClientOptions & {
    readonly grant: readonly Grant[];
    readonly expires?: Timestamp;
    readonly certificate?: string;
  };
  clientCommand(group, 'create <name>', 'Make a token; its text is shown this once')
    .requiredOption(
      '--grant <role[:namespace]>',
      `what its bearer is: ${roleNames.join(', ')}; in a namespace (default: default) or in all (*); repeatable`,
      repeated(grantFromText),
    )
    .option('--expires <instant>', 'when it ends (default: never)', instantFromText)
    .option('--certificate <name>', 'for client certificates that carry this name, in place of a text')
    .action(async (name: string, options: Options) => {
      const token = {
        name,
        grants: [...options.grant],
        expireTime: options.expires,
        certificateName: options.certificate,
      };
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.createToken({ token });
        if (output.isJson) return output.message(AdminServiceCreateTokenResponseSchema, reply);
        const { id } = reply.token ?? create(TokenSchema);
        output.remark(`made token ${id} (${name})${reply.text ? '; it is shown this once:' : ''}`);
        if (reply.text) await output.line(reply.text);
      });
    });
}

function declareList(group: Command): void {
  type Options = ClientOptions & { readonly all?: boolean; readonly limit: number };
  clientCommand(group, 'list', 'List the tokens of namespaces that you administer, newest first')
    .option('--all', 'also those that are revoked or have expired')
    .option('--limit <n>', 'how many at most', integerFromText(1), 100)
    .action(async (options: Options) => {
      const { all: includeEnded, limit } = options;
      await callService(options, async ({ admin, output }) => {
        const found = await takeItems(limit, output, async (page) => {
          const { tokens: items, nextPageToken } = await admin.listTokens({ includeEnded, ...page });
          return { items, nextPageToken };
        });
        if (output.isJson) {
          for (const token of found) await output.message(TokenSchema, token);
          return;
        }
        await output.table(
          ['ID', 'NAME', 'GRANTS', 'PROOF', 'LAST USE', 'ENDS', 'MADE BY'],
          found.map((token) => [
            String(token.id),
            token.name,
            token.grants.map(({ role, namespace }) => `${Role[role].toLowerCase()}:${namespace}`).join(' '),
            token.certificateName || `${token.prefix}…`,
            token.lastUseTime ? instantToText(token.lastUseTime) : 'never',
            endOf(token),
            token.creator,
          ]),
        );
      });
    });
}

function endOf({ revokeTime, expireTime }: Token): string {
  if (revokeTime) return `revoked ${instantToText(revokeTime)}`;
  return expireTime ? instantToText(expireTime) : 'never';
}

function declareRevoke(group: Command): void {
  clientCommand(group, 'revoke <id>', 'Revoke a token for good; its streams end within seconds').action(
    async (id: string, options: ClientOptions) => {
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.revokeToken({ tokenId: idFromText(id) });
        if (output.isJson) return output.message(AdminServiceRevokeTokenResponseSchema, reply);
        await output.line(`revoked token ${id} (${reply.token?.name ?? ''})`);
      });
    },
  );
}
