/**
 * The spelling of time zone names.
 *
 * IANA's names are accepted in any case and shown in IANA's spelling. A link
 * such as "Asia/Kolkata" stays what the user wrote and is not replaced by the
 * zone that it stands for. The runtime knows more names than IANA has:
 * abbreviations such as "CST" or "BST", which mean one thing to it and another
 * to people ("BST" is Dhaka). Those are no zones.
 */

/** Spells a name as IANA does; undefined when it names no zone. */
export function spellZone(name: string): string | undefined {
  if (name.length > maxLength || !/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return undefined;
  const lower = name.toLowerCase();
  const known = mainNames().get(lower) ?? singleWords.get(lower);
  if (known !== undefined) return known;
  // What is left are links, all of them within an area: the runtime says which exist, but not how they are spelt.
  if (!lower.includes('/') || lower.startsWith('systemv/')) return undefined;
  try {
    const { timeZone } = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions();
    return timeZone.toLowerCase() === lower ? timeZone : spellLink(lower);
  } catch {
    // Intl knows no other way to say that it does not know a zone.
    return undefined;
  }
}

const maxLength = 64;

let main: ReadonlyMap<string, string> | undefined;

/** The names that the runtime lists, by their lower case; made when they are first asked for. */
const mainNames = (): ReadonlyMap<string, string> =>
  (main ??= byLowerCase(Intl.supportedValuesOf('timeZone').filter((name) => name.includes('/'))));

const byLowerCase = (names: readonly string[]): ReadonlyMap<string, string> =>
  new Map(names.map((name) => [name.toLowerCase(), name]));

/** IANA's names without an area; there are no others. */
const singleWords = byLowerCase(
  (
    'CET CST6CDT Cuba EET EST EST5EDT Egypt Eire GB GB-Eire GMT GMT+0 GMT-0 GMT0 Greenwich HST Hongkong ' +
    'Iceland Iran Israel Jamaica Japan Kwajalein Libya MET MST MST7MDT NZ NZ-CHAT Navajo PRC PST8PDT Poland ' +
    'Portugal ROC ROK Singapore Turkey UCT UTC Universal W-SU WET Zulu'
  ).split(' '),
);

/** Words that IANA does not spell with one capital letter. */
const oddWords = byLowerCase(
  (
    'of es au IN US ACT NSW LHI GMT GMT0 UCT UTC BajaNorte BajaSur ComodRivadavia DeNoronha DumontDUrville ' +
    'EasterIsland McMurdo'
  ).split(' '),
);

/** Spells a link: one capital letter for each word, but for a few. */
const spellLink = (lower: string): string =>
  lower.replace(/[a-z0-9]+/g, (word) => oddWords.get(word) ?? word[0]!.toUpperCase() + word.slice(1));
