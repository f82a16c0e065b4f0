/**
 * Reads YAML, and JSON, which is YAML, as values with their places.
 *
 * An alias is the value of its anchor, and `<<` merges a map, or a list of maps,
 * below the keys that stand beside it. What aliases blow up is bounded by the
 * number of values in all, since each is built anew: a file of a kilobyte can
 * stand for billions of them.
 */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type YAMLMap,
} from 'yaml';
import type { Place, PlacedEntry, PlacedMap, PlacedValue, Problem } from './placed-value.ts';

/** The most values of one file, aliases written out. */
const maxValues = 1_000_000;

/** How deep values may be nested; the deepest thing of a job, an object of parameters, takes 32 levels. */
const maxDepth = 64;

/** Ends the reading of a document. */
class DocumentProblem extends Error {
  readonly place: Place;

  constructor(place: Place, text: string) {
    super(text);
    this.place = place;
  }
}

/** The documents of a text, without those that are empty, and what is wrong with it. */
export function readYamlDocuments(
  file: string,
  text: string,
): { readonly documents: readonly PlacedValue[]; readonly problems: readonly Problem[] } {
  const lines = new LineCounter();
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const problems: Problem[] = [];
  const documents: PlacedValue[] = [];
  const budget = { left: maxValues };
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const [error] = [...document.errors, ...document.warnings];
    if (error) {
      problems.push({ place: place(error.pos[0]), text: wordingOf(error.code, error.message) });
      continue;
    }
    if (document.contents === null) continue;
    try {
      const value = new Reader(place, budget).read(document.contents, 0);
      if (value.kind !== 'scalar' || value.value !== null) documents.push(value);
    } catch (problem) {
      if (!(problem instanceof DocumentProblem)) throw problem;
      problems.push({ place: problem.place, text: problem.message });
    }
  }
  return { documents, problems };
}

function wordingOf(code: string, message: string): string {
  const hint = /alias/i.test(message) ? '; a text that begins with * is put in quotes' : '';
  if (code === 'DUPLICATE_KEY') return 'this key is there already';
  return `${message.replace(/\.$/, '')}${hint}`;
}

class Reader {
  readonly #placeOf: (offset: number) => Place;
  readonly #budget: { left: number };
  /** In the order of the document, so that it holds what stands before an alias. */
  readonly #anchors = new Map<string, Node>();
  readonly #noted = new WeakSet<Node>();

  constructor(placeOf: (offset: number) => Place, budget: { left: number }) {
    this.#placeOf = placeOf;
    this.#budget = budget;
  }

  read(node: Node, depth: number): PlacedValue {
    const place = this.#place(node);
    if (this.#budget.left-- <= 0) {
      throw new DocumentProblem(
        place,
        `the file stands for more than ${maxValues.toLocaleString('en')} values`,
      );
    }
    if (depth > maxDepth) throw new DocumentProblem(place, `nested deeper than ${maxDepth} levels`);
    if (isAlias(node)) return this.read(this.#resolve(node), depth + 1);
    this.#note(node);
    if (isSeq(node)) {
      const items = node.items.map((item) => this.read(item as Node, depth + 1));
      return { kind: 'list', place, items };
    }
    if (isMap(node)) return this.#map(node, depth);
    return { kind: 'scalar', place, value: this.#scalar(node, place) };
  }

  #map(node: YAMLMap, depth: number): PlacedMap {
    const entries = new Map<string, PlacedEntry>();
    const merged: PlacedMap[] = [];
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const { key, value } = pair;
      const place = this.#place(key);
      const name: unknown = isScalar(key) ? key.value : undefined;
      if (typeof name !== 'string' && typeof name !== 'number' && typeof name !== 'boolean') {
        throw new DocumentProblem(place, 'a key is a text');
      }
      const read: PlacedValue = value ? this.read(value, depth + 1) : { kind: 'scalar', place, value: null };
      if (name === '<<') merged.push(...mapsOf(read, place));
      else if (entries.has(String(name))) throw new DocumentProblem(place, 'this key is there already');
      else entries.set(String(name), { place, value: read });
    }
    for (const { entries: below } of merged) {
      for (const [name, entry] of below) if (!entries.has(name)) entries.set(name, entry);
    }
    return { kind: 'map', place: this.#place(node), entries };
  }

  #scalar(node: Node, place: Place): string | number | boolean | null {
    const value: unknown = isScalar(node) ? node.value : undefined;
    if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw new DocumentProblem(place, 'is no text, number or boolean of JSON');
  }

  /** Remembers the anchor of a node; later ones of the same name count from there on. */
  #note(node: Node): void {
    const { anchor } = node as { readonly anchor?: string };
    if (anchor === undefined || this.#noted.has(node)) return;
    this.#noted.add(node);
    this.#anchors.set(anchor, node);
  }

  #resolve(alias: Alias): Node {
    const node = this.#anchors.get(alias.source);
    if (!node)
      throw new DocumentProblem(this.#place(alias), `there is no anchor &${alias.source} before this`);
    return node;
  }

  #place(node: Node): Place {
    return this.#placeOf(node.range?.[0] ?? 0);
  }
}

function mapsOf(value: PlacedValue, place: Place): readonly PlacedMap[] {
  const maps = value.kind === 'list' ? value.items : [value];
  return maps.map((map) => {
    if (map.kind === 'map') return map;
    throw new DocumentProblem(place, '<< takes a map, or a list of maps');
  });
}
