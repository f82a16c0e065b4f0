/**
 * Reads back the escapes of JSON in a text that need not be JSON.
 *
 * What encoders escape differs: PHP `/`, ASP.NET `+` and `&` as `\u002B`, Gson
 * `=` and `<` as `\u003d`. Where an answer is not parsed, because it is a list,
 * or cut, or no JSON as a whole, a value stands in it as its encoder wrote it.
 */

/** A text with its escapes read back, and where in the one before each place of it is. */
export type ReadBack = { readonly text: string; readonly placesBefore: Uint32Array };

const backslash = 0x5c;
const unit = 0x75;

/** What the letters behind a backslash stand for. */
const plain: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }).map(
    ([letter, read]) => [letter.charCodeAt(0), read.charCodeAt(0)],
  ),
);

/**
 * The text without its escapes; undefined where it has none. Of one that was
 * cut an escape that is not whole is no text.
 */
export function readBack(text: string, isCut: boolean): ReadBack | undefined {
  if (!text.includes('\\')) return undefined;
  const codes = new Uint16Array(text.length);
  const placesBefore = new Uint32Array(text.length + 1);
  let length = 0;
  for (let at = 0; at < text.length; length++) {
    placesBefore[length] = at;
    let code = text.charCodeAt(at);
    let next = at + 1;
    if (code === backslash) {
      if (isCut && at + 6 > text.length && /^\\(?:u[0-9a-fA-F]{0,3})?$/.test(text.slice(at, at + 6))) break;
      const letter = text.charCodeAt(next);
      const escaped = letter === unit ? unitAt(text, next + 1) : plain.get(letter);
      if (escaped !== undefined) {
        code = escaped;
        next += letter === unit ? 5 : 1;
      }
    }
    codes[length] = code;
    at = next;
    placesBefore[length + 1] = at;
  }
  return length === text.length
    ? undefined
    : { text: Buffer.from(codes.buffer, 0, 2 * length).toString('utf16le'), placesBefore };
}

function unitAt(text: string, at: number): number | undefined {
  let code = 0;
  for (let i = at; i < at + 4; i++) {
    const digit = hexDigitOf(text.charCodeAt(i));
    if (digit === undefined) return undefined;
    code = 16 * code + digit;
  }
  return code;
}

function hexDigitOf(code: number): number | undefined {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined;
}
