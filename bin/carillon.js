#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * Starts the command line, on whatever Node it was called with.
 *
 * In a checkout Carillon runs its TypeScript directly, whatever was built there;
 * a package has no src/ and runs dist/. Either takes Node 24. An older Node
 * starts the one that the package `node` brings along, with this file again,
 * and stands in front of it: it passes signals on and ends as the child ends.
 *
 * The child has a session of its own, so that a signal reaches it once: Ctrl-C
 * goes to everybody at the terminal, npx passes it on as well, and a second
 * signal would cut the draining short. Should this process be killed, the
 * channel between the two closes and the child stops in order.
 *
 * The young generation of the heap is kept small: it is most of what an idle
 * instance takes (docs/performance.md).
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const needed = 24;
const self = fileURLToPath(import.meta.url);

/** Signals of one kind that come this close together are one. */
const sameSignalMs = 500;

if (Number.parseInt(process.versions.node, 10) >= needed) {
  if (process.channel) {
    process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel.unref();
  }
  const source = new URL('../src/main.ts', import.meta.url);
  await import(existsSync(source) ? source.href : '../dist/main.js');
} else {
  const node = findNode();
  if (node) {
    runWith(node);
  } else {
    process.stderr.write(
      `carillon needs Node ${needed}; this is ${process.version}. npm install node@${needed} brings one.\n`,
    );
    process.exitCode = 1;
  }
}

/** The Node of the package `node`, beside this package or hoisted above it. */
function findNode() {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  for (let folder = dirname(dirname(self)); ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', 'node', 'bin', name);
    if (existsSync(path)) return path;
    if (folder === dirname(folder)) return undefined;
  }
}

function runWith(node) {
  const child = spawn(node, [...process.execArgv, self, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    detached: process.platform !== 'win32',
  });
  const last = new Map();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
    process.on(signal, () => {
      const now = performance.now();
      if (now - (last.get(signal) ?? Number.NEGATIVE_INFINITY) < sameSignalMs) return;
      last.set(signal, now);
      child.kill(signal);
    });
  }
  child.once('error', (error) => {
    process.stderr.write(`carillon could not start ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}
