import { createHash } from 'node:crypto';
import type { CrontabEntry } from './crontab-lines.ts';

const maxLength = 60;

/**
 * Names for entries, in their order: made of the words of the command, so that
 * they stay when lines move. Where two commands read alike, the second gets a
 * few letters of the digest of its line behind it.
 */
export function nameEntries(entries: readonly CrontabEntry[]): readonly string[] {
  const taken = new Set<string>();
  return entries.map((entry) => {
    const base = wordsOf(entry.command) || 'command';
    let name = base;
    for (let n = 0; taken.has(name); n++) name = `${base}-${digestOf(entry, n)}`;
    taken.add(name);
    return name;
  });
}

/** The program and its first words, without paths, endings, options' dashes and what only surrounds it. */
function wordsOf(command: string): string {
  const bare = command
    // cd /somewhere && , [ -x program ] && , test -x program || (
    .replace(/^(?:[({\s]*(?:cd|test|\[)\s[^&|;]*(?:&&|;|\|\|)\s*)+/, '')
    .replace(/^[({\s]+/, '')
    // NAME=value in front of the program
    .replace(/^(?:[A-Za-z_]\w*=(?:"[^"]*"|'[^']*'|\S*)\s+)+/, '')
    .replace(/[|;&<>(){}].*$/s, '')
    .replace(/\s\d+$/, '');
  const words = bare
    .split(/\s+/)
    .map((word) =>
      word
        .replace(/^["']|["']$/g, '')
        .replace(/^.*\/(?=[^/])/, '')
        .replace(/\.(?:sh|py|pl|rb|php|js)$/, '')
        .replace(/[^\p{L}\p{N}._=-]+/gu, '-')
        .replace(/^[-.=]+|[-.=]+$/g, ''),
    )
    .filter((word) => word !== '');
  let name = '';
  for (const word of words.slice(0, 5)) {
    const longer = name === '' ? word : `${name}-${word}`;
    if (longer.length > maxLength) break;
    name = longer;
  }
  return name || (words[0] ?? '').slice(0, maxLength);
}

const digestOf = ({ schedule, user = '', command, input }: CrontabEntry, n: number): string =>
  createHash('sha256').update([schedule, user, command, input, n].join('\0')).digest('hex').slice(0, 6);
