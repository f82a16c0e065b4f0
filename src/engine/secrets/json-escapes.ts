/**
 * Reads back the escapes of JSON in a text that need not be JSON.
 *
 * What encoders escape differs: PHP `/`, ASP.NET `+` and `&` as `\u002B`, Gson
 * `=` and `<` as `\u003d`. Where an answer is not parsed, because it is a list,
 * or cut, or no JSON as a whole, a value stands in it as its encoder wrote it.
 */

/** A text with its escapes read back, and where in the one before a place of it is. */
export type ReadBack = { readonly text: string; readonly placeBefore: (place: number) => number };

const plain: Readonly<Record<string, string>> = {
  ...{ '"': '"', '\\': '\\', '/': '/' },
  ...{ b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' },
};

const unit = /[0-9a-fA-F]{4}/y;

/**
 * The text without its escapes; undefined where it has none. Of one that was
 * cut an escape that is not whole is no text.
 */
export function readBack(text: string, isCut: boolean): ReadBack | undefined {
  let read = '';
  let from = 0;
  // The places of characters that were escapes, and how much shorter the text is behind each.
  const places: number[] = [];
  const shorter: number[] = [];
  for (let at = text.indexOf('\\'); at !== -1; ) {
    const escaped = plain[text[at + 1] ?? ''] ?? unitAt(text, at);
    let next = at + 1;
    if (escaped !== undefined) {
      next = at + (text[at + 1] === 'u' ? 6 : 2);
      read += text.slice(from, at) + escaped;
      from = next;
      places.push(read.length - 1);
      shorter.push(next - read.length);
    } else if (isCut && /^\\(?:u[0-9a-fA-F]{0,3})?$/.test(text.slice(at, at + 6))) {
      read += text.slice(from, at);
      from = text.length;
      break;
    }
    at = text.indexOf('\\', next);
  }
  if (from === 0) return undefined;
  read += text.slice(from);
  return {
    text: read,
    placeBefore: (place) => {
      // Of the escapes in front of the place the last.
      let [low, high] = [0, places.length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (places[middle]! < place) low = middle + 1;
        else high = middle;
      }
      return place + (low === 0 ? 0 : shorter[low - 1]!);
    },
  };
}

function unitAt(text: string, at: number): string | undefined {
  if (text[at + 1] !== 'u') return undefined;
  unit.lastIndex = at + 2;
  return unit.test(text) ? String.fromCharCode(Number.parseInt(text.slice(at + 2, at + 6), 16)) : undefined;
}
