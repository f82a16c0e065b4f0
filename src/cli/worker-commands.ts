import type { Command } from 'commander';
import { type Worker, WorkerSchema } from '../../gen/carillon/v1/worker_service_pb.js';
import { type ClientOptions, callService, clientCommand } from './client-command.ts';
import { integerFromText } from './option-values.ts';
import { takeItems } from './pages.ts';
import { workerRow, workerTitles } from './worker-lines.ts';
import { declareWorkerRun } from './worker-run-command.ts';

/** Adds `carillon worker …`: run one in this process, see those that are connected. */
export function declareWorkerCommands(program: Command): void {
  const group = program.command('worker').description('Run a worker, and see which are connected');
  declareWorkerRun(group);
  declareList(group);
}

function declareList(group: Command): void {
  type Options = ClientOptions & {
    readonly namespace?: string;
    readonly queue?: string;
    readonly limit: number;
  };
  clientCommand(group, 'list', 'List the workers that are connected, or may come back to their attempts')
    .option('--namespace <namespace>', 'only of this namespace')
    .option('--queue <queue>', 'only those that serve this queue')
    .option('--limit <n>', 'how many at most', integerFromText(1), 100)
    .action(async ({ namespace, queue, limit, ...options }: Options) => {
      await callService(options, async ({ workers, output }) => {
        const found = await takeItems<Worker>(limit, output, async (page) => {
          const reply = await workers.list({ filter: { namespace, queue }, ...page });
          return { items: reply.workers, nextPageToken: reply.nextPageToken };
        });
        if (!output.isJson) return output.table(workerTitles, found.map(workerRow));
        for (const worker of found) await output.message(WorkerSchema, worker);
      });
    });
}
