import type { ClientOptions } from '../client-command.ts';

/** What `carillon apply` is told. */
export type ApplyOptions = ClientOptions & {
  readonly file: readonly string[];
  readonly dryRun?: boolean;
  readonly exitCode?: boolean;
  readonly prune?: boolean;
  readonly allNamespaces?: boolean;
  readonly allowEmpty?: boolean;
  readonly adopt?: boolean;
};

/** The exit code of --exit-code when there is something to do; 1 and 2 are taken by what goes wrong. */
export const differsExitCode = 3;
