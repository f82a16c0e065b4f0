/**
 * Keeps secrets out of what is kept of a callee's answer.
 *
 * Callees log their requests, headers and all, and their errors quote what they
 * were sent; so an attempt's log, result and message would show a secret to
 * whoever may see the job. Each value that the attempt was delivered with is
 * looked for, as it is and as JSON and JSON within JSON write it, and replaced
 * by the mark that the audit uses. A callee that wants to tell a secret can: what
 * it writes in another form is not recognised.
 *
 * Escapes. Encoders differ in what they escape, so they are read back: where a
 * text holds escapes, a copy without them is searched as well, for the values
 * that have something to escape, and what is found there is masked in the text.
 *
 * Cost. One search for each value in each text and copy that has room for it, in
 * steps that the text bounds (value-search.ts): those of 16 headers take 4 ms in
 * 1 MiB of words, and 30 ms where it is nothing but escapes. An object that was read from a text is gone through only where
 * the text holds something, and its numbers only where a value may stand in one.
 * What is asked of a value is asked when its secret is opened.
 *
 * Cuts. Texts are masked before they are cut. Where only a beginning was kept,
 * a value that it ends within is masked as far as it is there. Elsewhere a value
 * is masked where all of it stands: another token of the same issuer, which
 * begins alike, is none, nor is the beginning that a callee itself cut off.
 */
import type { KeyObject } from 'node:crypto';
import type { Json } from '../../domain/job.ts';
import { mask } from '../audit/masked-definition.ts';
import { readBack } from './json-escapes.ts';
import { type SoughtValue, type Span, soughtValue, spansOf } from './value-search.ts';

/** Shorter values are not masked: they would be found in words and numbers that have nothing to do with them. */
const minLength = 8;

// What encoders of JSON escape, be it for HTML.
const escapable = /["'\\/<>&+=`]/;

/** How often escapes are read back: JSON that is quoted in JSON has them twice. */
const maxReadBacks = 2;

// What a number as JavaScript writes it is made of; the longest has 24 characters.
const numeric = /^[-+.e\d]{1,24}$/;

/** A value that is looked for, and what is asked of it in each attempt. */
export type MaskedValue = SoughtValue & {
  /** Whether it can stand in JSON in another way than as it is. */
  readonly isEscapable: boolean;
  /** Whether it can stand in a number. */
  readonly isNumeric: boolean;
};

/** Masks the values of one attempt in texts and JSON. */
export class AnswerMask {
  readonly #values: readonly MaskedValue[];
  readonly #escapable: readonly MaskedValue[];
  readonly #isNumeric: boolean;

  /** `values` may have some twice: headers that name the same secret. */
  constructor(values: readonly MaskedValue[]) {
    this.#values = [...new Map(values.map((value) => [value.text, value])).values()];
    this.#escapable = this.#values.filter(({ isEscapable }) => isEscapable);
    this.#isNumeric = this.#values.some(({ isNumeric }) => isNumeric);
  }

  /** The text without the values. */
  text(text: string): string {
    return this.#masked(text, false);
  }

  /** The beginning of a text that was cut, without the values, also without one that the cut goes through. */
  cutText(text: string): string {
    return this.#masked(text, true);
  }

  /** A JSON value without the values in its texts, numbers and names; itself where there are none. */
  json<T extends Json>(value: T): T {
    return this.#values.length === 0 ? value : (this.#json(value) as T);
  }

  /** The same of an object that was read from this text. */
  jsonFrom<T extends Json>(value: T, text: string): T {
    return this.#spans(text, false).length === 0 ? value : this.json(value);
  }

  #masked(text: string, isCut: boolean): string {
    const spans = this.#spans(text, isCut);
    return spans.length === 0 ? text : withMarks(text, spans);
  }

  #spans(text: string, isCut: boolean): readonly Span[] {
    const spans: Span[] = [];
    for (const value of this.#values) {
      if (isCut || text.length >= value.text.length) {
        for (const span of spansOf(value, text, isCut)) spans.push(span);
      }
    }
    if (this.#escapable.length === 0) return spans;
    let read = text;
    let placeInText = (place: number): number => place;
    for (let n = 0; n < maxReadBacks; n++) {
      const copy = readBack(read, isCut);
      if (!copy) break;
      const placeInRead = placeInText;
      placeInText = (place) => placeInRead(copy.placesBefore[place]!);
      read = copy.text;
      for (const [start, end] of this.#escapable.flatMap((value) => spansOf(value, read, isCut))) {
        // What the cut has left of an escape is no text, and goes with the value that it is of.
        spans.push([placeInText(start), isCut && end === read.length ? text.length : placeInText(end)]);
      }
    }
    return spans;
  }

  #json(value: Json): Json {
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'number') {
      // A callee may return a million numbers, and making texts of them is most of what they cost.
      if (!this.#isNumeric || (Number.isInteger(value) && Math.abs(value) < 10 ** (minLength - 2)))
        return value;
      const text = String(value);
      const masked = this.text(text);
      return masked === text ? value : masked;
    }
    if (typeof value !== 'object' || value === null) return value;
    let isSame = true;
    const walk = (member: Json): Json => {
      const masked = this.#json(member);
      if (masked !== member) isSame = false;
      return masked;
    };
    const walked = Array.isArray(value)
      ? value.map(walk)
      : // fromEntries defines members, so that one named __proto__ stays a member.
        Object.fromEntries(
          Object.entries(value).map(([name, member]) => [walk(name) as string, walk(member)]),
        );
    return isSame ? value : walked;
  }
}

/** For attempts that were delivered with nothing that is secret. */
export const noMask = new AnswerMask([]);

/** The mask of an attempt with this token, where it has one, and these values in their forms. */
export function maskOf(attemptToken: string, forms: readonly MaskedValue[] = []): AnswerMask {
  if (attemptToken === '') return forms.length === 0 ? noMask : new AnswerMask(forms);
  return new AnswerMask([...maskedValues(attemptToken), ...forms]);
}

/** What is looked for of the value of a header: itself, and what follows a scheme as in `Bearer …` and `Basic …`. */
export function formsOf(value: string): readonly MaskedValue[] {
  const credential = /^[A-Za-z][\w-]{0,31} +(\S+)$/.exec(value)?.[1];
  return credential === undefined ? maskedValues(value) : maskedValues(value, credential);
}

const maskedValues = (...texts: readonly string[]): readonly MaskedValue[] =>
  texts
    .filter((text) => text.length >= minLength)
    .map((text) => ({
      ...soughtValue(text),
      isEscapable: escapable.test(text),
      isNumeric: numeric.test(text),
    }));

// Opened secrets are kept for some seconds, and each attempt of theirs asks.
const knownForms = new WeakMap<KeyObject, readonly MaskedValue[]>();

/** What is looked for of a signing secret: its base64, which stands in its `whsec_` text, too. */
export function formsOfKey(key: KeyObject): readonly MaskedValue[] {
  let forms = knownForms.get(key);
  if (forms === undefined) {
    forms = formsOf(key.export().toString('base64').replace(/=+$/, ''));
    knownForms.set(key, forms);
  }
  return forms;
}

function withMarks(text: string, spans: readonly Span[]): string {
  let masked = '';
  let from = 0;
  for (const [start, end] of spans.toSorted((a, b) => a[0] - b[0])) {
    // What overlaps or touches is one mark.
    if (start > from || masked === '') masked += text.slice(from, start) + mask;
    from = Math.max(from, end);
  }
  return masked + text.slice(from);
}
