/** A position in the feed: the text of a Postgres snapshot, `xmin:xmax:xip,…`. */
export type FeedPosition = string;

const pattern = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/;

/** Whether a text is a position; anything else must not reach the database. */
export const isFeedPosition = (text: string): boolean => pattern.test(text);

/** The transactions that a position has not seen: those from xmax on, and those in xip. */
export function boundsOfPosition(position: FeedPosition): {
  readonly xmax: string;
  readonly xip: readonly string[];
} {
  const match = pattern.exec(position);
  if (!match) throw new Error(`not a feed position: ${position.slice(0, 60)}`);
  return { xmax: match[2]!, xip: match[3] === '' ? [] : match[3]!.split(',') };
}
