import { JobSchema } from '../../../gen/carillon/v1/job_pb.js';

/** The fields of a job that the service fills in. In a manifest they say nothing, so that `job get --json` can be pasted. */
export const outputOnlyFields: ReadonlySet<string> = new Set([
  'id',
  'state',
  'pauses',
  'next_fire_time',
  'last_fire_time',
  'last_execution',
  'create_time',
  'update_time',
  'etag',
  'generation',
  'buffered_count',
]);

/** What says which job it is, and how it is added: neither can be changed. */
const fixedFields: ReadonlySet<string> = new Set(['key', 'start_paused']);

/** The fields of a job that define it, as the paths of an update mask. */
export const definitionFields: readonly string[] = JobSchema.fields
  .map(({ name }) => name)
  .filter((name) => !outputOnlyFields.has(name) && !fixedFields.has(name));
