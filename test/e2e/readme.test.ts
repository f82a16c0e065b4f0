import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../support/postgres.ts';

/** Runs the commands of the README in order and compares what they print with what it shows. */

const root = join(import.meta.dirname, '../..');

type Example = { readonly command: string; readonly output: string };

/** The commands of the `console` blocks; a command goes on over lines that are indented or end in a backslash. */
function examplesOf(markdown: string): readonly Example[] {
  return [...markdown.matchAll(/^```console\n([\s\S]*?)^```$/gm)].flatMap(([, block]) =>
    block!
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const lines = text.trimEnd().split('\n');
        let end = 1;
        const quotes = (): number => lines.slice(0, end).join('\n').split("'").length - 1;
        while (end < lines.length && (lines[end - 1]!.endsWith('\\') || quotes() % 2 === 1)) end++;
        return { command: lines.slice(0, end).join('\n'), output: lines.slice(end).join('\n') };
      }),
  );
}

/** Leaves out what differs from run to run: ids and instants. */
const settled = (text: string): string =>
  text
    .replace(/\b\d{15,16}\b/g, 'ID')
    .replace(/20(?!27)\d\d-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/npm warn .*\n/g, '')
    .trimEnd();

/**
 * What npx does in the end, without the second that it takes to find that out.
 * The first command of each program goes through npx itself.
 */
const quickNpx = `#!/bin/sh
program=$1
shift
case $program in
  carillon) exec '${join(root, 'bin/carillon.js')}' "$@" ;;
  *) exec "${join(root, 'node_modules/.bin')}/$program" "$@" ;;
esac
`;

describe('the README', () => {
  const database = useTestDatabase();
  const children: ReturnType<typeof spawn>[] = [];
  const addresses = new Map<string, string>();
  const quickFolder = mkdtempSync(join(tmpdir(), 'carillon-npx-'));
  writeFileSync(join(quickFolder, 'npx'), quickNpx, { mode: 0o755 });
  const throughNpx = new Set<string>();

  /** Whether a command starts a program by npx that no command before it has. */
  const isFirst = (command: string): boolean => {
    const names = [...command.matchAll(/\bnpx (\w+)/g)].map(([, name]) => name!);
    const isNew = names.some((name) => !throughNpx.has(name));
    for (const name of names) throughNpx.add(name);
    return isNew;
  };

  /** Starts a program and reads its first lines until one of them is the last that is waited for. */
  const start = async (
    args: readonly string[],
    env: Record<string, string>,
    read: (line: string) => boolean,
  ): Promise<void> => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    for await (const line of createInterface({ input: child.stdout })) if (read(line)) break;
    child.stdout.resume();
  };

  beforeAll(async () => {
    const env = {
      DATABASE_URL: database.url,
      CARILLON_GRPC_ADDRESS: '127.0.0.1:0',
      CARILLON_HTTP_ADDRESS: '127.0.0.1:0',
      CARILLON_EGRESS_ALLOW: '127.0.0.0/8,::1',
      CARILLON_LOG_LEVEL: 'error',
      CARILLON_GATEWAYS: 'dataarts',
    };
    await start(['src/main.ts', 'serve'], env, (line) => {
      const match = /^ {2}(gRPC|HTTP) +(?:http:\/\/)?(\S+)/.exec(line);
      if (match) addresses.set(match[1]!, match[2]!);
      return /^ {2}database/.test(line);
    });
    await start(['examples/callee/callee.ts', '0'], {}, (line) => {
      addresses.set('callee', /callee on http:\/\/(\S+)/.exec(line)![1]!);
      return true;
    });
  });

  afterAll(async () => {
    rmSync(quickFolder, { recursive: true, force: true });
    await Promise.all(
      children.map(async (child) => {
        if (child.exitCode !== null) return;
        const exit = once(child, 'exit');
        child.kill('SIGTERM');
        await exit;
      }),
    );
  });

  for (const { command, output } of examplesOf(readFileSync(join(root, 'README.md'), 'utf8'))) {
    it(`tells the truth about: ${command.split('\n')[0]!.slice(0, 100)}`, async () => {
      const here = command
        .replaceAll('127.0.0.1:50051', addresses.get('gRPC')!)
        .replaceAll('127.0.0.1:8080', addresses.get('HTTP')!)
        .replaceAll('127.0.0.1:9000', addresses.get('callee')!)
        .replaceAll(/(npx carillon (?:apply|\w+ \w+))/g, `$1 --address ${addresses.get('gRPC')!}`);
      const folders = [...(isFirst(command) ? [] : [quickFolder]), join(root, 'node_modules/.bin')];
      const printed = await new Promise<string>((resolve) => {
        const env = { ...process.env, PATH: [...folders, process.env.PATH].join(':') };
        execFile('bash', ['-c', here], { cwd: root, env }, (_error, stdout) => resolve(stdout));
      });
      expect(settled(printed)).toBe(settled(output));
    });
  }
});
