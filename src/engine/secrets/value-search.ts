/**
 * Where a value stands in a text, in steps that the text bounds.
 *
 * Callees choose the text and whoever puts a secret the value, so neither may
 * be one that makes the other take long. `indexOf` finds where 64 characters of
 * the value stand; of a longer needle V8 compares all at every place of a text
 * of one character. From there on the value is compared in the manner of Knuth,
 * Morris and Pratt: after a difference, or an occurrence, the longest beginning
 * of the value that still ends there is known from the value alone, and no
 * character is compared with more than two.
 */

/** A part of a text, without its end. */
export type Span = readonly [start: number, end: number];

/** What is searched for, with what `indexOf` is given of it. */
export type SoughtValue = { readonly text: string; readonly head: string };

/** How much of a value `indexOf` is given. */
const headLength = 64;

/** A value as it is searched for. */
export const soughtValue = (text: string): SoughtValue => ({ text, head: text.slice(0, headLength) });

/**
 * The occurrences of a value, also those that overlap, which make one span. Of
 * a text that was cut also the beginning of the value that it ends with.
 */
export function spansOf({ text: value, head }: SoughtValue, text: string, isCut: boolean): Span[] {
  const spans: [number, number][] = [];
  const borders = [0, 0];
  // `known` characters of the value stand at `at`.
  for (let at = 0, known = 0; ; ) {
    if (known === 0) {
      at = text.indexOf(head, at);
      if (at === -1) break;
      known = head.length;
    }
    while (known < value.length && text.charCodeAt(at + known) === value.charCodeAt(known)) known++;
    const end = at + known;
    if (known === value.length || (isCut && end === text.length)) {
      const last = spans.at(-1);
      if (last && at <= last[1]) last[1] = end;
      else spans.push([at, end]);
    }
    if (end === text.length) return spans;
    const border = borderOf(value, known, borders);
    at = end - border;
    known = border;
  }
  const start = isCut ? startOfCut(text, head) : undefined;
  if (start !== undefined) spans.push([start, text.length]);
  return spans;
}

/** The longest beginning of the value's first `length` characters that they end with, too; those before are kept. */
function borderOf(value: string, length: number, borders: number[]): number {
  for (let i = borders.length; i <= length; i++) {
    const last = value.charCodeAt(i - 1);
    let border = borders[i - 1]!;
    while (border > 0 && value.charCodeAt(border) !== last) border = borders[border]!;
    borders.push(value.charCodeAt(border) === last ? border + 1 : 0);
  }
  return borders[length]!;
}

/** Where a value begins that the end of the text cuts before its head is over. */
function startOfCut(text: string, head: string): number | undefined {
  for (let start = Math.max(0, text.length - head.length + 1); start < text.length; start++) {
    if (head.startsWith(text.slice(start))) return start;
  }
  return undefined;
}
