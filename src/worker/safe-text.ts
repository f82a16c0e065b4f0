/** The text without NUL and without halves of characters, which Carillon refuses and nobody can write. */
export function safeText(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  return whole.includes('\0') ? whole.replaceAll('\0', '\ufffd') : whole;
}

/**
 * A text fit to be sent of which at most `max` UTF-16 units are kept. Only
 * as much as is kept is looked at, however long the text is.
 */
export function cutText(text: string, max: number): string {
  return safeText(text.length > max ? text.slice(0, max) : text);
}

/** What was thrown, in words of at most `max` characters; never throws itself. */
export function wordsOf(thrown: unknown, max: number): string {
  try {
    const text = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
    return cutText(text, max);
  } catch {
    return 'something was thrown that has no words';
  }
}
