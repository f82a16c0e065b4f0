/** An expression that cannot be understood; the message names the field, the position and what would be right. */
export class CronSyntaxError extends Error {
  override readonly name = 'CronSyntaxError';
}

/** A part of an expression and where it begins, counted from 1. */
export type Text = { readonly text: string; readonly at: number };

/** Quotes what a user wrote, cut to a length that fits a message. */
export const quote = (text: string): string =>
  JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** Refuses an expression at a position; `field` is undefined where the whole of it is wrong. */
export function refuse(field: string | undefined, at: number, what: string): never {
  throw new CronSyntaxError(field ? `${field} field, position ${at}: ${what}` : `position ${at}: ${what}`);
}
