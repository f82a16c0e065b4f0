import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MisfirePolicy, OverlapPolicy } from '../gen/carillon/v1/job_pb.js';
import { MissedPolicy, OnRunning } from '../gen/carillon/v1/job_service_pb.js';
import { AmbiguousPolicy, CronDialect, GapPolicy, IntervalMode } from '../gen/carillon/v1/schedule_pb.js';

/** docs/rules-of-time.md promises that each of its rules is held by tests: those that it names exist. */

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/rules-of-time.md'), 'utf8');

/** A row of a table of the page. */
type Row = { readonly section: string; readonly cells: readonly string[] };
type Citation = { readonly title: string; readonly file: string };

const rows: readonly Row[] = page
  .split(/^## /m)
  .slice(1)
  .flatMap((part) => {
    const [section = '', ...lines] = part.split('\n');
    return lines
      .filter((line) => line.startsWith('| ') && !/^\| (rule|point|---) /.test(line))
      .map((line) => ({ section, cells: line.slice(2, -2).split(' | ') }));
  });

/** The tests that a text names: links into test/ with a title. */
const citationsOf = (text: string): Citation[] =>
  [...text.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g)].map(([, title, file]) => ({
    title: title!,
    file: file!,
  }));

const sources = new Map<string, string>();

/** A test file without its comments. */
function sourceOf(file: string): string {
  const known = sources.get(file);
  if (known !== undefined) return known;
  const text = readFileSync(join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
  sources.set(file, text);
  return text;
}

/** Whether a file has a string that is the title, be it of a test, a group or a row of a table of tests. */
const hasTitle = ({ title, file }: Citation): boolean =>
  ["'", '"', '`'].some((quote) => sourceOf(file).includes(quote + title + quote));

const dialectRows = rows.filter(({ section }) => section === 'Cron dialects');

/** The points where the world disagrees about cron. */
const points = [
  'fields',
  'weekday numbers',
  'both day fields restricted',
  '`?`',
  '`L`, `L-n`, `LW`, `nW`, `n#k`, `nL`',
  '`L-nW`',
  '`a/b`',
  'ranges that wrap (`22-4`, `FRI-MON`)',
  '`5-5`, repeated items, `0,7`, `FRI-SUN`, several blanks or tabs, lower case',
  'in a list',
  'empty items, missing fields, empty text, `/b`, a step of 0 or wider than the field, hour 24, `0*`, long names',
  '31 or `31W` in a shorter month',
  'impossible dates (30 February)',
  'a year list that is over',
  'a date that is missing in its zone',
  '`@yearly` `@annually` `@monthly` `@weekly` `@daily` `@midnight` `@hourly`',
  '`@every 90s`',
  '`@reboot`, `TZ=` prefixes',
  '`H`, `H(a-b)`, `H/n`',
];

describe('the rules of time', () => {
  it.each(rows.map(({ section, cells }) => ({ section, rule: cells[0]!, cells })))(
    '$section: $rule',
    ({ rule, cells }) => {
      expect(rule.trim()).not.toBe('');
      const citations = citationsOf(cells.at(-1)!);
      expect(citations, 'a rule is held by a test').not.toEqual([]);
      expect(citations.filter((citation) => !hasTitle(citation))).toEqual([]);
    },
  );

  it('name only tests that exist, outside their tables too', () => {
    expect(citationsOf(page).filter((citation) => !hasTitle(citation))).toEqual([]);
    expect(page.match(/\]\(\.\.\/test\//g)).toHaveLength(citationsOf(page).length);
  });

  it('have rows of one shape', () => {
    for (const { section, cells } of rows) {
      expect(cells, cells[0]).toHaveLength(section === 'Cron dialects' ? 4 : 2);
    }
    expect(rows.length).toBeGreaterThan(80);
  });

  it('say of every point of the dialects what both of them do', () => {
    expect(dialectRows.map(({ cells }) => cells[0])).toEqual(points);
    for (const { cells } of dialectRows) expect(cells.map((cell) => cell.trim())).not.toContain('');
  });

  it('name every group of the dialect tests', () => {
    const groups = [
      ...sourceOf('test/domain/schedule/cron-dialects.test.ts').matchAll(/^ {4}point: '(.*)',$/gm),
    ];
    expect(groups.length).toBeGreaterThan(10);
    const named = new Set(
      dialectRows.flatMap(({ cells }) => citationsOf(cells.at(-1)!)).map(({ title }) => title),
    );
    expect(groups.map(([, title]) => title!).filter((title) => !named.has(title))).toEqual([]);
  });

  it.each(
    Object.entries({
      AmbiguousPolicy,
      CronDialect,
      GapPolicy,
      IntervalMode,
      MisfirePolicy,
      MissedPolicy,
      OnRunning,
      OverlapPolicy,
    }),
  )('speak of every value of %s', (_, values) => {
    const names = Object.values(values).filter((name) => typeof name === 'string' && name !== 'UNSPECIFIED');
    expect(names.length).toBeGreaterThan(1);
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
  });
});
