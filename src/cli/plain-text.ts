/**
 * What could do more than be read: control characters of both sets (and with
 * them every terminal escape), line ends, and marks that reorder or hide text.
 */
const unsafe =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
  /[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

const shortEscapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * The text on one line, harmless to a terminal: what is unsafe is written as an
 * escape such as `\x1b` or `\u202e`, so that one sees that it was there. Log
 * lines come from callees, and a callee must not be able to move the cursor,
 * set the title or forge another line.
 */
export function plainText(text: string): string {
  return text.toWellFormed().replace(unsafe, (character) => {
    const code = character.charCodeAt(0);
    return shortEscapes[character] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
  });
}

/** JSON text of the same meaning, harmless to a terminal: JSON itself lets DEL, the C1 controls and marks through. */
export function plainJson(json: string): string {
  return json.replace(unsafe, (character) => `\\u${hex(character.charCodeAt(0), 4)}`);
}

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');
