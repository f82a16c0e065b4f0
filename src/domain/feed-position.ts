/** A position in the feed: the text of a Postgres snapshot, `xmin:xmax:xip,…`. */
export type FeedPosition = string;

const pattern = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/;

/** The largest transaction number; they are 64 bits wide. */
const maxXid = 2n ** 64n - 1n;

/**
 * Whether a text is a position that Postgres can read: xmin is not 0 and not
 * above xmax, the numbers of xip lie from xmin to below xmax in order. Anything
 * else must not reach the database.
 */
export function isFeedPosition(text: string): boolean {
  const match = pattern.exec(text);
  if (!match) return false;
  const xmin = BigInt(match[1]!);
  const xmax = BigInt(match[2]!);
  if (xmin < 1n || xmax < xmin || xmax > maxXid) return false;
  const xip = match[3] === '' ? [] : match[3]!.split(',').map(BigInt);
  return xip.every((xid, i) => xid >= (i === 0 ? xmin : xip[i - 1]!) && xid < xmax);
}

/** The transactions that a position has not seen: those from xmax on, and those in xip. */
export function boundsOfPosition(position: FeedPosition): {
  readonly xmax: string;
  readonly xip: readonly string[];
} {
  const match = pattern.exec(position);
  if (!match) throw new Error(`not a feed position: ${position.slice(0, 60)}`);
  return { xmax: match[2]!, xip: match[3] === '' ? [] : match[3]!.split(',') };
}
