/** The version of the zone data that this process computes local times with, such as `2026b`. */
export const zoneDataVersion = process.versions.tz ?? 'unknown';
