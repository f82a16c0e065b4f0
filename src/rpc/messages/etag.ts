/**
 * The etag of a job is its revision in base 36. Outside it is opaque text;
 * inside the operations compare revisions, written as decimal text.
 */

/** The etag of a revision. */
export function etagFromRevision(revision: number): string {
  return revision.toString(36);
}

/**
 * The revision, in decimal text, that an etag stands for; empty for the empty
 * etag. Revisions count from 1, so an etag that Carillon never made becomes
 * `0`, which no job has: the operation then says ETAG_MISMATCH, and says
 * JOB_NOT_FOUND first where that is the case.
 */
export function revisionFromEtag(etag: string): string {
  if (etag === '') return '';
  if (!/^[1-9a-z][0-9a-z]{0,10}$/.test(etag)) return '0';
  return Number.parseInt(etag, 36).toString();
}
