/** Where something stands in a manifest. Lines and columns count from 1. */
export type Place = { readonly file: string; readonly line: number; readonly column: number };

/** A value of a manifest with its place, so that whatever is wrong with it can be pointed at. */
export type PlacedValue =
  | { readonly kind: 'map'; readonly place: Place; readonly entries: ReadonlyMap<string, PlacedEntry> }
  | { readonly kind: 'list'; readonly place: Place; readonly items: readonly PlacedValue[] }
  | {
      readonly kind: 'scalar';
      readonly place: Place;
      readonly value: string | number | boolean | null;
    };

/** A map of a manifest. */
export type PlacedMap = Extract<PlacedValue, { kind: 'map' }>;

/** A key of a map with its value. */
export type PlacedEntry = { readonly place: Place; readonly value: PlacedValue };

/** Something wrong in a manifest. */
export type Problem = { readonly place: Place; readonly text: string };

/** A problem in one line: `jobs.yaml:3:5: …`. */
export const problemToText = ({ place, text }: Problem): string => `${placeToText(place)}: ${text}`;

/** A place in one word. */
export const placeToText = ({ file, line, column }: Place): string => `${file}:${line}:${column}`;

/** Whether nothing is said: absent, or null as protobuf JSON has it. */
export const isAbsent = (value: PlacedValue | undefined): value is undefined =>
  value === undefined || (value.kind === 'scalar' && value.value === null);

/** What a value is, in words. */
export function kindToText(value: PlacedValue): string {
  if (value.kind !== 'scalar') return `a ${value.kind}`;
  return value.value === null
    ? 'nothing'
    : `the ${typeof value.value === 'string' ? 'text' : typeof value.value} ${JSON.stringify(value.value)}`;
}

/** The JSON of a value. */
export function plainValue(value: PlacedValue): PlainValue {
  switch (value.kind) {
    case 'scalar':
      return value.value;
    case 'list':
      return value.items.map(plainValue);
    case 'map':
      return Object.fromEntries([...value.entries].map(([name, entry]) => [name, plainValue(entry.value)]));
  }
}

/** JSON as a value of a manifest is turned into. */
export type PlainValue = null | boolean | number | string | PlainValue[] | { [key: string]: PlainValue };
