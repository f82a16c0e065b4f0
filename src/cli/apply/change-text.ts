import type { Leaf } from './definition-leaves.ts';
import type { Change } from './job-changes.ts';

/** The most characters of a value in a plan. */
const maxLength = 72;

/** The values of a change as they may be shown: what is secret hidden, in urls too. */
export function openValues({ before, after }: Change): { readonly before?: string; readonly after?: string } {
  if (before?.isSecret || after?.isSecret) {
    return { before: before && '(hidden)', after: after && (before ? '(hidden, another)' : '(hidden)') };
  }
  const texts = { before: before && withoutTokens(before), after: after && withoutTokens(after) };
  const isToken = texts.before !== undefined && texts.before === texts.after;
  return isToken ? { before: texts.before, after: `${texts.after} (another)` } : texts;
}

/** A change as `before → after`; long values are cut to where they begin to differ. */
export function changeToText(change: Change): string {
  const { before, after } = openValues(change);
  const from = Math.max(0, firstDifference(before ?? '', after ?? '') - maxLength / 2);
  const show = (text: string | undefined): string => {
    if (text === undefined) return '(none)';
    if (text === '') return '""';
    if (text.length <= maxLength) return text;
    const [start, end] = [from > 0 ? '…' : '', from + maxLength < text.length ? '…' : ''];
    return `${start}${text.slice(from, from + maxLength)}${end} (${text.length} characters)`;
  };
  return `${show(before)} → ${show(after)}`;
}

function firstDifference(a: string, b: string): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}

/** A url whose query names a token shows that there is one. */
const withoutTokens = ({ text }: Leaf): string =>
  text.replace(/([?&][^=&\s]*(?:token|secret|key|pass|sig|auth)[^=&\s]*=)[^&\s#]+/gi, '$1(hidden)');
