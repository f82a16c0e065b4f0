/**
 * Where a value stands in a text, in steps that the text bounds.
 *
 * Callees choose the text and whoever puts a secret the value, so neither may
 * be one that makes the other take long. `indexOf` finds where 64 characters of
 * the value stand; of a longer needle V8 compares all at every place of a text
 * of one character. From there on the value is compared in the manner of Knuth,
 * Morris and Pratt: after a difference, or an occurrence, the longest beginning
 * of the value that still ends there is known from the value alone, so that the
 * text is gone over once.
 */

/** A part of a text, without its end. */
export type Span = readonly [start: number, end: number];

/** What is searched for, with what `indexOf` is given of it. */
export type SoughtValue = { readonly text: string; readonly head: string };

const nowhere: readonly Span[] = [];
const nothing = { codes: new Uint16Array(0), borders: new Uint16Array(0) };

/** How much of a value `indexOf` is given. */
const headLength = 64;

/** A value as it is searched for. */
export const soughtValue = (text: string): SoughtValue => ({ text, head: text.slice(0, headLength) });

/**
 * The occurrences of a value, also those that overlap, which make one span. Of
 * a text that was cut also the beginning of the value that it ends with.
 */
export function spansOf({ text: value, head }: SoughtValue, text: string, isCut: boolean): readonly Span[] {
  if (!isCut && text.length < value.length) return nowhere;
  const first = text.indexOf(head);
  if (first === -1 && !isCut) return nowhere;
  const spans: [number, number][] = [];
  const add = (start: number, end: number): void => {
    const last = spans.at(-1);
    if (last && start <= last[1]) last[1] = end;
    else spans.push([start, end]);
  };
  const { codes, borders } = first === -1 ? nothing : bordersOf(value);
  for (let at = first; at !== -1; ) {
    // In front of `end` stand the first `known` characters of the value.
    let known = head.length;
    let end = at + known;
    while (end < text.length) {
      if (known === codes.length) {
        add(end - known, end);
        known = borders[known]!;
      }
      const code = text.charCodeAt(end);
      while (known > 0 && codes[known] !== code) known = borders[known]!;
      if (codes[known] !== code) break;
      known++;
      end++;
    }
    if (end === text.length) {
      if (known === codes.length || (isCut && known > 0)) add(end - known, end);
      return spans;
    }
    at = text.indexOf(head, end + 1);
  }
  const start = isCut ? startOfCut(text, head) : undefined;
  if (start !== undefined) add(start, text.length);
  return spans;
}

/** The value, and for each beginning of it the longest shorter one that it ends with. */
function bordersOf(value: string): { readonly codes: Uint16Array; readonly borders: Uint16Array } {
  const codes = new Uint16Array(value.length);
  const borders = new Uint16Array(value.length + 1);
  for (let i = 0; i < value.length; i++) codes[i] = value.charCodeAt(i);
  for (let i = 1, border = 0; i < value.length; i++) {
    while (border > 0 && codes[border] !== codes[i]) border = borders[border]!;
    if (codes[border] === codes[i]) border++;
    borders[i + 1] = border;
  }
  return { codes, borders };
}

/** Where a value begins that the end of the text cuts before its head is over. */
function startOfCut(text: string, head: string): number | undefined {
  for (let start = Math.max(0, text.length - head.length + 1); start < text.length; start++) {
    if (head.startsWith(text.slice(start))) return start;
  }
  return undefined;
}
