/**
 * Time zones as tables of spans with a constant offset from UTC.
 *
 * The offsets come from the runtime's own zone data (Intl). Asking it is slow,
 * so a zone's changes are found once for each page of 400 days that a search
 * touches: the offset is sampled every few days, and where two samples differ the
 * change is narrowed down to the second. A search then works on integers only.
 *
 * Two changes between two samples that cancel each other would be missed. How far
 * samples may be apart was looked up in the data of all zones (2026c): since 1970
 * no two changes are nearer to each other than 7 days (Hebron, as foreseen for
 * 2040), and from 2087 on, when Ramadan is foreseen no further, than 100 days. A
 * page costs 0.5 ms, and 0.2 ms from then on, in place of 1.4 ms: a search that
 * nobody has made before may touch forty of them.
 */
import { spellZone } from './zone-names.ts';

/** A span of time in which a zone's offset does not change. */
export type ZoneSpan = {
  /** Its first instant; spans also begin where a page begins. */
  readonly fromMs: number;
  /** The first instant behind it. */
  readonly untilMs: number;
  /** Local time minus UTC, in milliseconds. */
  readonly offsetMs: number;
  /** The offset just before the span, and that just behind it. */
  readonly offsetBeforeMs: number;
  readonly offsetBehindMs: number;
};

const dayMs = 86_400_000;

/** How much time is looked at as a whole. */
const pageMs = 400 * dayMs;

/** How far samples are apart: before 1970, where zones did what they wanted, from then on, and behind all that is not a rule. */
const sampleSteps = [
  { untilMs: 0, stepMs: dayMs },
  { untilMs: Date.UTC(2090, 0, 1), stepMs: 3 * dayMs },
  { untilMs: Number.POSITIVE_INFINITY, stepMs: 25 * dayMs },
];

/** The pages until the year 2200, and how many others are kept; requests can carry instants until the year 9999. */
const usualPages = Math.ceil(Date.UTC(2200, 0, 1) / pageMs);
const keptUnusualPages = 64;

/** Zones by their spelling; only names that exist get in, a few hundred. */
const zones = new Map<string, Zone>();

/** A time zone: its name and its offsets. */
export class Zone {
  /** The IANA name, as IANA spells it. */
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #usual: (readonly ZoneSpan[] | undefined)[] = [];
  readonly #unusual = new Map<number, readonly ZoneSpan[]>();
  #last: ZoneSpan = { fromMs: 0, untilMs: 0, offsetMs: 0, offsetBeforeMs: 0, offsetBehindMs: 0 };

  private constructor(name: string) {
    this.name = name;
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /**
   * The zone of an IANA name in any case; undefined when there is none. Offsets
   * such as "+02:00" and abbreviations such as "CST" are no zones.
   */
  static find(name: string): Zone | undefined {
    const known = zones.get(name);
    if (known) return known;
    const spelling = spellZone(name);
    if (spelling === undefined) return undefined;
    const zone = zones.get(spelling) ?? new Zone(spelling);
    zones.set(spelling, zone);
    return zone;
  }

  /** The span that holds an instant. */
  spanAt(ms: number): ZoneSpan {
    const last = this.#last;
    if (ms >= last.fromMs && ms < last.untilMs) return last;
    const page = Math.floor(ms / pageMs);
    const spans = this.#usual[page] ?? this.#spansOf(page);
    let i = 0;
    while (i < spans.length - 1 && ms >= spans[i]!.untilMs) i++;
    this.#last = spans[i]!;
    return this.#last;
  }

  /** The spans of a page, found when they are first asked for. */
  #spansOf(page: number): readonly ZoneSpan[] {
    if (page >= 0 && page <= usualPages) {
      while (this.#usual.length <= page) this.#usual.push(undefined);
      const spans = this.#findSpans(page);
      this.#usual[page] = spans;
      return spans;
    }
    const known = this.#unusual.get(page);
    if (known) return known;
    if (this.#unusual.size >= keptUnusualPages) this.#unusual.clear();
    const spans = this.#findSpans(page);
    this.#unusual.set(page, spans);
    return spans;
  }

  #findSpans(page: number): readonly ZoneSpan[] {
    const startMs = page * pageMs;
    const endMs = startMs + pageMs;
    const starts = [{ atMs: startMs, offsetMs: this.#sample(startMs) }];
    const { stepMs } = sampleSteps.find(({ untilMs }) => startMs < untilMs)!;
    for (let beforeMs = startMs; beforeMs < endMs; beforeMs += stepMs) {
      const afterMs = Math.min(beforeMs + stepMs, endMs);
      const offsetMs = this.#sample(afterMs);
      const before = starts.at(-1)!.offsetMs;
      if (offsetMs === before) continue;
      const atMs = this.#narrow(beforeMs, afterMs, before);
      // A change where the page ends begins the next page's first span.
      if (atMs < endMs) starts.push({ atMs, offsetMs });
    }
    const offsetAtEnd = this.#sample(endMs);
    return starts.map(
      ({ atMs, offsetMs }, i): ZoneSpan => ({
        fromMs: atMs,
        untilMs: starts[i + 1]?.atMs ?? endMs,
        offsetMs,
        offsetBeforeMs: starts[i - 1]?.offsetMs ?? this.#sample(startMs - 1000),
        offsetBehindMs: starts[i + 1]?.offsetMs ?? offsetAtEnd,
      }),
    );
  }

  /** The first second in (low, high] at which the offset is not `before` any more. */
  #narrow(lowMs: number, highMs: number, before: number): number {
    let low = lowMs / 1000;
    let high = highMs / 1000;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#sample(middle * 1000) === before) low = middle;
      else high = middle;
    }
    return high * 1000;
  }

  /** The offset at a whole second. */
  #sample(ms: number): number {
    const atMs = Math.max(ms, oldestMs);
    // The text is read by hand: formatToParts takes almost four times as long, and a page takes 400 samples.
    const [, month, day, year, hour, minute, second] = localPattern.exec(this.#format.format(atMs))!;
    return Date.UTC(+year!, +month! - 1, +day!, +hour!, +minute!, +second!) - atMs;
  }
}

/** How `en-US` writes a date and time: `12/31/1969, 19:00:00`. */
const localPattern = /^(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)$/;

/** Before this, long before there were zones, offsets are constant; years before 100 and eras read differently. */
const oldestMs = Date.UTC(1000, 0, 1);

/** Writes an instant as the clocks of a zone show it: `2026-03-29T03:00:00+02:00`, with milliseconds where there are any. */
export function localIso(ms: number, zone: Zone): string {
  const { offsetMs } = zone.spanAt(ms);
  const local = new Date(ms + offsetMs).toISOString();
  const minutes = Math.abs(Math.round(offsetMs / 60_000));
  const pad = (n: number): string => String(n).padStart(2, '0');
  const offset = `${offsetMs < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
  return `${local.slice(0, local.endsWith('.000Z') ? 19 : 23)}${offset}`;
}
