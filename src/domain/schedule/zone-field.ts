import { invalidField } from '../errors.ts';
import { Zone } from './zone.ts';

/** The zone that a field names; refuses what is none with INVALID_SCHEDULE. */
export function zoneOf(name: string, field: string): Zone {
  const zone = Zone.find(name);
  if (zone) return zone;
  const shown = JSON.stringify(name.slice(0, 64));
  throw invalidField(
    field,
    `${shown} is no IANA time zone; write one like "Europe/Berlin" or "UTC"`,
    'INVALID_SCHEDULE',
  );
}
