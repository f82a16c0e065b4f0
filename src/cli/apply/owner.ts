import type { Job } from '../../../gen/carillon/v1/job_pb.js';

/** The label in which apply keeps whose manifest a job is of. */
export const ownerLabel = 'carillon.io/owner';

/** What the owner of a manifest may be called; it becomes the value of a label. */
export const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$/;

/** Whose manifest a job is of; empty when it is of none. */
export const ownerOf = (job: Job): string => job.labels[ownerLabel] ?? '';
