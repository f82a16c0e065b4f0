/**
 * The examples in other languages, made ready to run: their packages are
 * installed where they do not disturb the checkout. A language whose toolchain
 * is not there, or whose registry does not answer, is left out with the reason.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The checkout. */
export const root = join(import.meta.dirname, '..', '..');

/** Kept from one time to the next, so that only the first one downloads. */
const cache = join(tmpdir(), 'carillon-interop');

/** What starts the examples of a language, without their arguments; or why it is left out. */
export type Toolchain =
  | { readonly language: string; readonly worker: readonly string[]; readonly service: readonly string[] }
  | { readonly language: string; readonly leftOut: string };

const call = promisify(execFile);

/** How long one step may take, in milliseconds; most of it is downloads. */
const stepLimitMs = 300_000;

const examples = join(root, 'examples');

/** Makes the examples in Python ready, in a venv. */
export async function preparePython(): Promise<Toolchain> {
  const venv = join(cache, 'python');
  const python = join(venv, 'bin', 'python');
  return prepare('Python', async (step) => {
    await step('python3', ['-m', 'venv', venv]);
    const requirements = join(examples, 'python_worker', 'requirements.txt');
    await step(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements]);
    return {
      worker: [python, join(examples, 'python_worker', 'worker.py')],
      service: [python, join(examples, 'python_service', 'service.py')],
    };
  });
}

/** Makes the examples in Go ready: code from the protos, then a program of each. */
export async function prepareGo(): Promise<Toolchain> {
  return prepare('Go', async (step) => {
    await step('go', ['version']);
    const build = async (name: string): Promise<readonly string[]> => {
      const folder = join(examples, name);
      const program = join(cache, name);
      await step(join(root, 'node_modules', '.bin', 'buf'), [
        ...['generate', '--template', join(folder, 'buf.gen.yaml')],
      ]);
      await step('go', ['build', '-o', program, '.'], folder);
      return [program];
    };
    return { worker: await build('go_worker'), service: await build('go_service') };
  });
}

type Step = (program: string, args: readonly string[], cwd?: string) => Promise<void>;

/** Runs a program to its end; an error is one line that says what went wrong. */
export const runStep: Step = async (program, args, cwd = root) => {
  try {
    await call(program, args, { cwd, timeout: stepLimitMs });
  } catch (error) {
    const { code, stderr, message } = error as Error & {
      readonly code?: unknown;
      readonly stderr?: string;
    };
    if (code === 'ENOENT') throw new Error(`${program} is not installed`);
    throw new Error(`${[program, ...args].join(' ')}: ${stderr?.trim().split('\n').at(-1) || message}`);
  }
};

async function prepare(
  language: string,
  work: (step: Step) => Promise<{ readonly worker: readonly string[]; readonly service: readonly string[] }>,
): Promise<Toolchain> {
  await mkdir(cache, { recursive: true });
  try {
    return { language, ...(await work(runStep)) };
  } catch (error) {
    return { language, leftOut: (error as Error).message };
  }
}
