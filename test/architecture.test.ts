import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

/** The house rules: who may import whom, and where the outside world may be touched. */

const root = join(import.meta.dirname, '..');

type Import = { readonly from: string; readonly to: string; readonly typeOnly: boolean };

type Source = { readonly path: string; readonly text: string; readonly code: string };

const sourcesIn = (folder: string): Source[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => {
      const path = normalize(`${folder}/${file}`);
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, code: text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '') };
    });

const importsOf = (files: readonly Source[]): Import[] =>
  files.flatMap(({ path, code }) =>
    [...code.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s)?'([^']+)'/gm)].map((match) => {
      const to = match[2]!;
      const local = to.startsWith('.') ? relative(root, join(root, dirname(path), to)) : to;
      return { from: path, to: local, typeOnly: match[1] !== undefined };
    }),
  );

const sources = sourcesIn('src');
const imports = importsOf(sources);

const from = (...folders: string[]) =>
  imports.filter((i) => folders.some((folder) => i.from.startsWith(folder)));

const shown = (found: readonly Import[]): string[] => found.map((i) => `${i.from} imports ${i.to}`);

const uses = (pattern: RegExp, allowed: readonly string[]): string[] =>
  sources
    .filter(({ path, code }) => pattern.test(code) && !allowed.some((a) => path.startsWith(a)))
    .map((s) => s.path);

describe('the house', () => {
  it('keeps the domain pure: it imports only itself', () => {
    expect(shown(from('src/domain/').filter((i) => !i.to.startsWith('src/domain/')))).toEqual([]);
  });

  it('keeps SQL in the store: kysely and pg are imported nowhere else, but for types of a session', () => {
    const outside = imports.filter((i) => /^(kysely|pg)$/.test(i.to) && !i.from.startsWith('src/store/'));
    expect(shown(outside.filter((i) => !i.typeOnly))).toEqual([]);
  });

  it('shows the engine the interfaces of the store, never an implementation', () => {
    expect(shown(from('src/engine/').filter((i) => i.to.startsWith('src/store/') && !i.typeOnly))).toEqual(
      [],
    );
  });

  it('lets the store know the domain and the platform only', () => {
    expect(shown(from('src/store/').filter((i) => /^src\/(engine|rpc|cli|app|config)/.test(i.to)))).toEqual(
      [],
    );
  });

  it('lets the engine know nothing of commands and configuration', () => {
    expect(shown(from('src/engine/').filter((i) => /^src\/(rpc|cli|config|app)/.test(i.to)))).toEqual([]);
  });

  it('keeps generated code and transports at the edges: rpc, gateways, cli, worker and the calls of gRPC targets', () => {
    const found = imports.filter((i) => /^(gen\/|@connectrpc|@grpc)/.test(i.to));
    const edges = /^src\/(rpc|gateways|cli|worker|engine\/targets\/grpc)\//;
    expect(shown(found.filter((i) => !edges.test(i.from)))).toEqual([]);
  });

  it('lets rpc reach the engine by its operations only', () => {
    const found = from('src/rpc/').filter((i) => i.to.startsWith('src/engine/'));
    expect(shown(found.filter((i) => i.to !== 'src/engine/operations.ts'))).toEqual([]);
    expect(shown(from('src/rpc/').filter((i) => i.to.startsWith('src/store/')))).toEqual([]);
  });

  it('lets gateways decide nothing: they know the domain, and make calls through rpc as everybody does', () => {
    const found = from('src/gateways/').filter((i) => i.to.startsWith('src/'));
    const allowed =
      /^src\/(gateways\/|domain\/|platform\/|rpc\/(call|calling-peer|local-call|local-client|mount|interceptors\/request-id|services\/service)\.ts$)/;
    expect(found.length).toBeGreaterThan(0);
    expect(shown(found.filter((i) => !allowed.test(i.to)))).toEqual([]);
    // The server that they hang in does not know them.
    expect(shown(from('src/rpc/', 'src/engine/').filter((i) => i.to.startsWith('src/gateways/')))).toEqual(
      [],
    );
  });

  it('keeps the platform a leaf', () => {
    expect(
      shown(
        from('src/platform/').filter((i) => i.to.startsWith('src/') && !i.to.startsWith('src/platform/')),
      ),
    ).toEqual([]);
  });

  it('reads configuration at the process edge only: app, its parts, serve, main and cli', () => {
    const found = imports.filter((i) => i.to.startsWith('src/config/') && !i.from.startsWith('src/config/'));
    expect(
      shown(
        found.filter(
          (i) => !/^src\/(app|access-parts|engine-parts|target-parts|serve|main|cli\/)/.test(i.from),
        ),
      ),
    ).toEqual([]);
    expect(uses(/process\.env\b/, ['src/config/env.ts'])).toEqual([]);
  });

  it('reads time, sets timers and draws numbers in the platform only', () => {
    expect(
      uses(/Date\.now\(|new Date\(\)|\bset(Timeout|Interval)\(|Math\.random/, ['src/platform/']),
    ).toEqual([]);
  });

  it('knows pino in one place', () => {
    expect(shown(imports.filter((i) => i.to === 'pino' && i.from !== 'src/platform/logger.ts'))).toEqual([]);
  });

  it('knows the peers it is measured beside in bench only: nothing that ships or is tested rests on them', () => {
    const everywhere = importsOf(['src', 'test', 'examples', 'bench'].flatMap(sourcesIn));
    const found = everywhere.filter((i) => /^(pg-boss|graphile-worker)(\/|$)/.test(i.to));
    expect(found.length).toBeGreaterThan(0);
    expect(shown(found.filter((i) => !i.from.startsWith('bench/')))).toEqual([]);
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Readonly<Record<string, string>>;
    };
    expect(Object.keys(dependencies).filter((name) => /^(pg-boss|graphile-worker)$/.test(name))).toEqual([]);
  });

  it('has no cycles', () => {
    const edges = new Map<string, string[]>();
    for (const i of imports) if (!i.typeOnly) edges.set(i.from, [...(edges.get(i.from) ?? []), i.to]);
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      expect(path, `cycle: ${[...path, file].join(' → ')}`).not.toContain(file);
      if (done.has(file)) return;
      for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of edges.keys()) visit(file, []);
  });

  it('imports nothing from the tests, and names no file after a kind', () => {
    expect(shown(imports.filter((i) => i.to.startsWith('test/')))).toEqual([]);
    expect(
      sources.map((s) => s.path).filter((path) => /\/(utils?|helpers?|common|types)\.ts$/.test(path)),
    ).toEqual([]);
  });
});
