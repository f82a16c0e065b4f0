import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { TlsFiles } from '../../src/rpc/tls-files.ts';
import type { Identity } from './identities.ts';

/** What the files of a listener hold. */
export type TlsContent = Partial<Identity> & { readonly ca?: string; readonly crl?: string };

/** The files of a listener, as Kubernetes lays out a secret: below a symbolic link that is swapped. */
export type MountedTls = TlsFiles & {
  /** Puts other content in the place of all files at once. What is undefined is not there. */
  swap(content: TlsContent): Promise<void>;
};

const folders: string[] = [];

/** Takes the folders of a file's tests away behind them. */
export function useMountedTls(): (content: TlsContent) => Promise<MountedTls> {
  afterAll(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
  });
  return mountTls;
}

async function mountTls(content: TlsContent): Promise<MountedTls> {
  const folder = await mkdtemp(join(tmpdir(), 'carillon-tls-'));
  folders.push(folder);
  let version = 0;
  const swap = async ({ cert, key, ca, crl }: TlsContent): Promise<void> => {
    const data = await mkdtemp(join(folder, `version-${++version}-`));
    const files = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': ca, 'ca.crl': crl };
    for (const [name, text] of Object.entries(files)) {
      if (text !== undefined) await writeFile(join(data, name), text);
    }
    await symlink(data, join(folder, 'next'));
    await rename(join(folder, 'next'), join(folder, 'current'));
  };
  await swap(content);
  const path = (name: string): string => join(folder, 'current', name);
  return {
    certFile: path('tls.crt'),
    keyFile: path('tls.key'),
    clientCaFile: content.ca === undefined ? undefined : path('ca.crt'),
    clientCrlFile: content.crl === undefined ? undefined : path('ca.crl'),
    swap,
  };
}
