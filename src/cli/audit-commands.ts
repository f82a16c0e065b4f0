import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Command } from 'commander';
import { type AuditEvent, AuditEventSchema } from '../../gen/carillon/v1/audit_event_pb.js';
import { auditRow, auditTitles } from './audit-lines.ts';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { jobKeyFromText, jobKeyToFullText } from './job-name.ts';
import { idFromText, instantFromText, integerFromText, repeated } from './option-values.ts';
import { takeItems } from './pages.ts';

/** Adds `carillon audit …`: who changed what, and who was refused to. */
export function declareAuditCommands(program: Command): void {
  const group = program.command('audit').description('See who changed what, or was refused to');
  declareList(group);
}

function declareList(group: Command): void {
  type Options = ClientOptions & {
    readonly namespace?: string;
    readonly actor?: string;
    readonly method?: readonly string[];
    readonly job?: string;
    readonly type?: string;
    readonly id?: bigint;
    readonly name?: string;
    readonly outcome?: readonly string[];
    readonly since?: Timestamp;
    readonly until?: Timestamp;
    readonly requestId?: string;
    readonly limit: number;
  };
  clientCommand(group, 'list', 'List audit events, newest first')
    .option('--namespace <namespace>', 'only of this namespace')
    .option('--actor <name>', 'only of this caller')
    .option(
      '--method <Service/Method>',
      'only of this RPC, JobService/Trigger; repeatable',
      repeated(methodFromText),
    )
    .option('--job <name>', 'only about this job, [namespace/][group/]name')
    .option('--type <type>', 'only about this kind of thing: job, execution, secret, calendar …')
    .option('--id <id>', 'only about the job, execution or backfill of this id', idFromText)
    .option('--name <name>', 'only about what has this name')
    .option(
      '--outcome <outcome>',
      'only with this outcome, ok or job-not-found; repeatable',
      repeated(outcomeFromText),
    )
    .option('--since <instant>', 'only what was not written before this', instantFromText)
    .option('--until <instant>', 'only what was written before this', instantFromText)
    .option('--request-id <id>', 'only of the call with this x-request-id')
    .option('--limit <n>', 'how many at most', integerFromText(1), 50)
    .action(async (options: Options, command: Command) => {
      const { job, name } = options;
      if (job !== undefined && name !== undefined) command.error('error: use one of --job and --name');
      const filter = {
        namespace: options.namespace,
        actor: options.actor,
        methods: [...(options.method ?? [])],
        objectType: options.type,
        objectId: options.id,
        objectName: job === undefined ? name : jobKeyToFullText(jobKeyFromText(job)),
        outcomes: [...(options.outcome ?? [])],
        startTime: options.since,
        endTime: options.until,
        requestId: options.requestId,
      };
      await callService(options, async ({ admin, output }) => {
        const found = await takeItems<AuditEvent>(options.limit, output, async (page) => {
          const reply = await admin.listAuditEvents({ filter, ...page });
          return { items: reply.events, nextPageToken: reply.nextPageToken };
        });
        if (!output.isJson) return output.table(auditTitles, found.map(auditRow));
        for (const event of found) await output.message(AuditEventSchema, event);
      });
    });
}

/** The RPC in full; its package may be left out. */
const methodFromText = (text: string): string => (text.includes('.') ? text : `carillon.v1.${text}`);

const outcomeFromText = (text: string): string => text.toUpperCase().replaceAll('-', '_');
