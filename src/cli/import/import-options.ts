/** What `carillon import crontab` is told. */
export type ImportCommandOptions = {
  readonly system?: boolean;
  readonly queue: string;
  readonly zone?: string;
  readonly owner?: string;
  readonly namespace?: string;
  readonly group: string;
  readonly output?: string;
  readonly skipUnsupported?: boolean;
};
