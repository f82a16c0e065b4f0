import type { Command } from 'commander';
import {
  AdminServiceCreateNamespaceResponseSchema,
  AdminServicePutQueueResponseSchema,
  AdminServiceUpdateNamespaceResponseSchema,
} from '../../gen/carillon/v1/admin_service_pb.js';
import { NamespaceSchema } from '../../gen/carillon/v1/namespace_pb.js';
import { QueueSchema } from '../../gen/carillon/v1/queue_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import {
  declareLimitOptions,
  declareNamespaceLimitOptions,
  intakeCell,
  type LimitOptions,
  limitCells,
  limitHeads,
  type NamespaceLimitOptions,
  namespaceLimitsFrom,
  newLimitsFrom,
  newNamespaceLimitsFrom,
} from './limit-options.ts';
import { integerFromText } from './option-values.ts';
import { takeItems } from './pages.ts';

type ListOptions = ClientOptions & { readonly limit: number };

const listCommand = (group: Command, summary: string): Command =>
  clientCommand(group, 'list', summary).option('--limit <n>', 'how many at most', integerFromText(1), 100);

/** Adds `carillon namespace …` and `carillon queue …`: what AdminService does with them. */
export function declareNamespaceCommands(program: Command): void {
  const namespaces = program.command('namespace').description('Make namespaces and limit what runs in them');
  declareCreate(namespaces);
  declareNamespaceList(namespaces);
  declareNamespaceLimit(namespaces);
  const queues = program.command('queue').description('Limit what runs in queues');
  declareQueueList(queues);
  declareQueueLimit(queues);
}

function declareCreate(group: Command): void {
  type Options = ClientOptions & NamespaceLimitOptions & { readonly description?: string };
  declareNamespaceLimitOptions(clientCommand(group, 'create <name>', 'Make a namespace'))
    .option('--description <text>', 'a description for people')
    .action(async (name: string, options: Options) => {
      const namespace = { name, description: options.description, limits: namespaceLimitsFrom(options) };
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.createNamespace({ namespace });
        if (output.isJson) return output.message(AdminServiceCreateNamespaceResponseSchema, reply);
        await output.line(`made ${name}`);
      });
    });
}

function declareNamespaceList(group: Command): void {
  listCommand(group, 'List the namespaces by name').action(async (options: ListOptions) => {
    await callService(options, async ({ admin, output }) => {
      const found = await takeItems(options.limit, output, async (page) => {
        const { namespaces: items, nextPageToken } = await admin.listNamespaces(page);
        return { items, nextPageToken };
      });
      if (output.isJson) {
        for (const namespace of found) await output.message(NamespaceSchema, namespace);
        return;
      }
      await output.table(
        ['NAME', ...limitHeads, 'INTAKE', 'DESCRIPTION'],
        found.map(({ name, limits, description }) => [
          name,
          ...limitCells(limits),
          intakeCell(limits),
          description,
        ]),
      );
    });
  });
}

function declareNamespaceLimit(group: Command): void {
  declareNamespaceLimitOptions(
    clientCommand(group, 'limit <name>', 'Set the limits of a namespace, in place of those it has'),
  )
    .option('--unlimited', 'lift all limits')
    .action(async (name: string, options: ClientOptions & NamespaceLimitOptions, command: Command) => {
      const namespace = { name, limits: newNamespaceLimitsFrom(options, command) };
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.updateNamespace({ namespace, updateMask: { paths: ['limits'] } });
        if (output.isJson) return output.message(AdminServiceUpdateNamespaceResponseSchema, reply);
        await output.line(`${options.unlimited ? 'lifted the limits of' : 'limited'} ${name}`);
      });
    });
}

function declareQueueList(group: Command): void {
  type Options = ListOptions & { readonly namespace?: string };
  listCommand(group, 'List the queues of a namespace by name')
    .option('--namespace <namespace>', 'the namespace (default: default)')
    .action(async (options: Options) => {
      const { namespace, limit } = options;
      await callService(options, async ({ admin, output }) => {
        const found = await takeItems(limit, output, async (page) => {
          const { queues: items, nextPageToken } = await admin.listQueues({ namespace, ...page });
          return { items, nextPageToken };
        });
        if (output.isJson) {
          for (const queue of found) await output.message(QueueSchema, queue);
          return;
        }
        await output.table(
          ['NAME', ...limitHeads],
          found.map(({ name, limits }) => [name, ...limitCells(limits)]),
        );
      });
    });
}

function declareQueueLimit(group: Command): void {
  type Options = ClientOptions & LimitOptions & { readonly namespace?: string };
  declareLimitOptions(
    clientCommand(group, 'limit <name>', 'Set the limits of a queue, in place of those it has'),
  )
    .option('--namespace <namespace>', 'the namespace (default: default)')
    .option('--unlimited', 'lift all limits')
    .action(async (name: string, options: Options, command: Command) => {
      const queue = { namespace: options.namespace, name, limits: newLimitsFrom(options, command) };
      await callService(options, async ({ admin, output }) => {
        const reply = await admin.putQueue({ queue });
        if (output.isJson) return output.message(AdminServicePutQueueResponseSchema, reply);
        await output.line(`${options.unlimited ? 'lifted the limits of' : 'limited'} ${name}`);
      });
    });
}
