/**
 * Whether the outermost object of a JSON text names a key twice. Parsers
 * disagree on which of them counts, so a token that does so says one thing to
 * who signed it and may say another to us (RFC 8725, 2.4). The text is valid
 * JSON: it was parsed before.
 */
export function hasRepeatedKeys(json: string): boolean {
  const keys = new Set<string>();
  let depth = 0;
  for (const [token, isKey] of json.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[[\]{}]/gs)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (isKey !== undefined && depth === 1) {
      const key = JSON.parse(token.slice(0, -isKey.length)) as string;
      if (keys.has(key)) return true;
      keys.add(key);
    }
  }
  return false;
}
