import type { DescMessage } from '@bufbuild/protobuf';
import type { PlacedEntry, PlacedMap, Problem } from './placed-value.ts';

/**
 * What a schedule of a manifest may say in short:
 *
 *     cron: "0 2 * * *"           cron: {expression: "0 2 * * *",
 *     time_zone: Europe/Berlin           time_zone: Europe/Berlin}
 *     every: 15m                  interval: {every: 15m}
 *     at: 2027-12-01T10:00:00Z    once: {at_time: 2027-12-01T10:00:00Z}
 *
 * Returns the map as the message has it; other messages as they are.
 */
export function withoutShorthand(desc: DescMessage, map: PlacedMap, problems: Problem[]): PlacedMap {
  if (desc.typeName !== 'carillon.v1.Schedule') return map;
  const entries = new Map(map.entries);
  const zone = takeZone(entries);
  const cron = entries.get('cron');
  if (cron?.value.kind === 'scalar' && cron.value.value !== null) {
    const inner = new Map([['expression', cron]]);
    if (zone) inner.set('time_zone', zone);
    entries.set('cron', {
      place: cron.place,
      value: { kind: 'map', place: cron.value.place, entries: inner },
    });
  } else if (zone) {
    const text = 'time_zone stands beside a cron that is a text; it belongs into the map of cron otherwise';
    problems.push({ place: zone.place, text });
  }
  wrap(entries, 'every', 'interval', 'every', problems);
  wrap(entries, 'at', 'once', 'at_time', problems);
  return { ...map, entries };
}

function takeZone(entries: Map<string, PlacedEntry>): PlacedEntry | undefined {
  for (const name of ['time_zone', 'timeZone']) {
    const entry = entries.get(name);
    entries.delete(name);
    if (entry) return entry;
  }
  return undefined;
}

/** Puts the value of a short key into the message that it stands for. */
function wrap(
  entries: Map<string, PlacedEntry>,
  short: string,
  kind: string,
  field: string,
  problems: Problem[],
): void {
  const entry = entries.get(short);
  if (!entry) return;
  entries.delete(short);
  if (entries.has(kind)) {
    problems.push({ place: entry.place, text: `${short} is short for ${kind}, which is there, too` });
    return;
  }
  const inner = new Map([[field, entry]]);
  entries.set(kind, { place: entry.place, value: { kind: 'map', place: entry.value.place, entries: inner } });
}
