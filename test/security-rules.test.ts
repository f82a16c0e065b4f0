import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** docs/security.md promises that each of its rules is held by tests, or says that it is not. */

const folder = join(import.meta.dirname, '../docs');
const page = readFileSync(join(folder, 'security.md'), 'utf8');

const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (rule|risk|---) /.test(line))
  .map((line) => line.slice(2, -2).split(' | '))
  .map((cells) => ({ rule: cells[0]!, kept: cells[1]!, heldBy: cells[2]!, columns: cells.length }));

describe('the rules of security', () => {
  it.each(rows)('$rule', ({ kept, heldBy, columns }) => {
    expect(columns).toBe(3);
    const files = [...heldBy.matchAll(/\]\((\.\.\/test\/[^)]+\.test\.ts)\)/g)].map(([, file]) => file!);
    expect(files.filter((file) => !existsSync(join(folder, file)))).toEqual([]);
    // A rule without a test says so itself.
    if (files.length === 0) expect([kept, heldBy]).toEqual([expect.stringMatching(/\*\*not \w+\*\*/), '–']);
  });

  it('are in eleven tables, and link to pages and headings that exist', () => {
    expect(page.match(/^## /gm)).toHaveLength(11);
    const headings = [...page.matchAll(/^## (.+)$/gm)].map(([, text]) =>
      text!
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const [, file, heading] of page.matchAll(/\]\(([\w./-]*\.(?:md|ts))?(?:#([^)]+))?\)/g)) {
      if (file) expect(existsSync(join(folder, file)), file).toBe(true);
      else expect(headings).toContain(heading);
    }
  });
});
