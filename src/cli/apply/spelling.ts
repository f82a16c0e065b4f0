import { editDistance } from '../../platform/edit-distance.ts';

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
