/** The word of a list that was most likely meant; undefined when none is near. */
export function nearestWord(text: string, words: Iterable<string>): string | undefined {
  const most = Math.min(3, Math.floor(text.length / 3) + 1);
  let nearest: { readonly word: string; readonly distance: number } | undefined;
  for (const word of words) {
    if (Math.abs(word.length - text.length) > most) continue;
    const distance = editDistance(text.toLowerCase(), word.toLowerCase());
    if (distance <= most && distance < (nearest?.distance ?? Number.POSITIVE_INFINITY)) {
      nearest = { word, distance };
    }
  }
  return nearest?.word;
}

/** How many letters have to be put in, taken out or changed. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
