/**
 * Reads a manifest: one document that names its owner and lists jobs.
 *
 *     owner: team-billing/cron      whose jobs these are; needed to prune
 *     namespace: billing            for jobs that name none
 *     group: nightly
 *     defaults: {retry: …}          fields for jobs that do not name them
 *     jobs: [{name: invoices, …}]   each the protobuf JSON of carillon.v1.Job
 *
 * A job's key stands at its top, `name`, `group` and `namespace`, or in `key`.
 */
import { create, fromJson, type JsonObject } from '@bufbuild/protobuf';
import { type JobKey, JobKeySchema } from '../../../gen/carillon/v1/job_key_pb.js';
import { type Job, JobSchema } from '../../../gen/carillon/v1/job_pb.js';
import { outputOnlyFields } from './definition-fields.ts';
import { messageJson, type Reading } from './manifest-message.ts';
import { ownerLabel, ownerPattern } from './owner.ts';
import {
  isAbsent,
  kindToText,
  type Place,
  type PlacedEntry,
  type PlacedMap,
  type PlacedValue,
  type Problem,
} from './placed-value.ts';
import { nearestWord } from './spelling.ts';

/** A job as a manifest wants it. */
export type WantedJob = {
  /** With its key in full and the label of its owner. */
  readonly job: Job & { readonly key: JobKey };
  /** Empty: its manifest has none. */
  readonly owner: string;
  readonly place: Place;
  /** Where its fields stand, by their paths within the job. */
  readonly places: ReadonlyMap<string, Place>;
};

/** A document that has been read. */
export type Manifest = {
  /** Empty: it has none, and cannot be pruned by. */
  readonly owner: string;
  readonly place: Place;
  /** The namespace for jobs that name none; absent where the manifest does not say. */
  readonly namespace?: string;
  readonly jobs: readonly WantedJob[];
};

/** What says which job it is. */
const keyNames = ['key', 'name', 'group', 'namespace'];

const manifestKeys = ['owner', 'namespace', 'group', 'defaults', 'jobs'];

/** What every job of a manifest falls back on. */
type Fallback = {
  readonly owner: string;
  readonly namespace: string;
  readonly group: string;
  readonly defaults?: PlacedMap;
  /** Where the defaults are wrong, which has been told. */
  readonly wrongDefaults: ReadonlySet<Place>;
};

/** The manifest of a document; undefined when it is none. What is wrong goes into `problems`. */
export function readManifest(document: PlacedValue, problems: Problem[]): Manifest | undefined {
  const { place } = document;
  const refuse = (where: Place, text: string): undefined => {
    problems.push({ place: where, text });
  };
  if (document.kind !== 'map')
    return refuse(place, `a manifest is a map with jobs, not ${kindToText(document)}`);
  for (const [name, entry] of document.entries) {
    if (manifestKeys.includes(name)) continue;
    const nearest = nearestWord(name, manifestKeys);
    refuse(
      entry.place,
      `${name}: a manifest has no such key; ${nearest === undefined ? `there are ${manifestKeys.join(', ')}` : `${nearest} is one`}`,
    );
  }
  const owner = textOf(document, 'owner', problems) ?? '';
  if (owner !== '' && !ownerPattern.test(owner)) {
    refuse(
      document.entries.get('owner')!.value.place,
      'owner: is 1 to 200 letters, digits and . _ - /, and begins with a letter or a digit',
    );
  }
  const namespace = textOf(document, 'namespace', problems) || undefined;
  const group = textOf(document, 'group', problems) || 'default';
  const defaults = document.entries.get('defaults')?.value;
  if (!isAbsent(defaults) && defaults.kind !== 'map') {
    return refuse(defaults.place, `defaults: is a map, not ${kindToText(defaults)}`);
  }
  for (const name of keyNames) {
    const entry = defaults?.kind === 'map' ? defaults.entries.get(name) : undefined;
    if (entry) refuse(entry.place, `defaults.${name}: belongs to a job, or to the top of the manifest`);
  }
  const wrong = defaults?.kind === 'map' ? problemsOfDefaults(defaults) : [];
  problems.push(...wrong);
  const jobs = document.entries.get('jobs')?.value;
  if (isAbsent(jobs)) return refuse(place, 'jobs: is missing; a manifest without jobs says jobs: []');
  if (jobs.kind !== 'list') return refuse(jobs.place, `jobs: is a list, not ${kindToText(jobs)}`);
  const fallback: Fallback = {
    owner,
    namespace: namespace ?? 'default',
    group,
    defaults: defaults?.kind === 'map' ? defaults : undefined,
    wrongDefaults: new Set(wrong.map((each) => each.place)),
  };
  return {
    owner,
    place,
    namespace,
    jobs: jobs.items.flatMap((item, i) => readJob(item, i, fallback, problems) ?? []),
  };
}

/** What is wrong in the defaults themselves: told once, and not for each job. */
function problemsOfDefaults(defaults: PlacedMap): readonly Problem[] {
  const reading: Reading = { problems: [], places: new Map() };
  const entries = [...defaults.entries].filter(
    ([name]) => !keyNames.includes(name) && !outputOnlyFields.has(fieldOf(name)?.name ?? ''),
  );
  messageJson(JobSchema, { ...defaults, entries: new Map(entries) }, 'defaults', reading);
  return reading.problems;
}

function readJob(
  value: PlacedValue,
  position: number,
  fallback: Fallback,
  problems: Problem[],
): WantedJob | undefined {
  const { place } = value;
  if (value.kind !== 'map') {
    problems.push({ place, text: `jobs[${position}]: is a map, not ${kindToText(value)}` });
    return undefined;
  }
  const reading: Reading = { problems: [], places: new Map() };
  const key = readKey(value, fallback, reading);
  const definition = new Map<string, PlacedEntry>();
  for (const [name, entry] of [...(fallback.defaults?.entries ?? []), ...value.entries]) {
    const { name: fieldName } = fieldOf(name) ?? {};
    if (keyNames.includes(name) || outputOnlyFields.has(fieldName ?? '')) continue;
    // Under whichever spelling: what a job says takes the place of its default.
    const earlier = [...definition.keys()].find((each) => fieldOf(each) && fieldOf(each) === fieldOf(name));
    if (earlier !== undefined && !value.entries.has(earlier)) definition.delete(earlier);
    definition.set(name, entry);
  }
  const json = messageJson(JobSchema, { ...value, entries: definition }, '', reading);
  const label = `job ${JSON.stringify(key?.name ?? `jobs[${position}]`)}: `;
  const job =
    reading.problems.length === 0 && key ? jobOf(json, key, fallback.owner, reading, place) : undefined;
  for (const each of reading.problems) {
    if (!fallback.wrongDefaults.has(each.place)) problems.push({ ...each, text: label + each.text });
  }
  return job && { job, owner: fallback.owner, place, places: reading.places };
}

const fieldOf = (name: string) =>
  JobSchema.fields.find((field) => field.name === name || field.jsonName === name);

/** The message, with the owner in its labels; undefined where that cannot be. */
function jobOf(
  json: JsonObject,
  key: JobKey,
  owner: string,
  reading: Reading,
  place: Place,
): WantedJob['job'] | undefined {
  const job = fromJson(JobSchema, json);
  const labeled = job.labels[ownerLabel];
  if (labeled !== undefined && labeled !== owner) {
    const text = `labels: ${ownerLabel} is set by apply, from the owner of the manifest`;
    reading.problems.push({ place: reading.places.get('labels') ?? place, text });
    return undefined;
  }
  if (owner !== '') job.labels[ownerLabel] = owner;
  return Object.assign(job, { key });
}

function readKey(value: PlacedMap, fallback: Fallback, reading: Reading): JobKey | undefined {
  const key = value.entries.get('key')?.value;
  if (!isAbsent(key)) {
    if (key.kind !== 'map') {
      reading.problems.push({ place: key.place, text: `key: is a map, not ${kindToText(key)}` });
      return undefined;
    }
    for (const name of ['name', 'group', 'namespace']) {
      const rival = value.entries.get(name);
      if (rival) reading.problems.push({ place: rival.place, text: `${name}: stands in key, too` });
    }
    // Told of below, with what is beside name, group and namespace.
    messageJson(JobKeySchema, key, 'key', reading);
  }
  const from = isAbsent(key) ? value : (key as PlacedMap);
  const name = textOf(from, 'name', reading.problems);
  if (name === undefined || name === '') {
    reading.problems.push({ place: value.place, text: 'name: is missing' });
    return undefined;
  }
  return create(JobKeySchema, {
    namespace: textOf(from, 'namespace', reading.problems) || fallback.namespace,
    group: textOf(from, 'group', reading.problems) || fallback.group,
    name,
  });
}

/** A text of a map; undefined when it is absent or none. */
function textOf(map: PlacedMap, name: string, problems: Problem[]): string | undefined {
  const value = map.entries.get(name)?.value;
  if (isAbsent(value)) return undefined;
  if (value.kind === 'scalar' && typeof value.value === 'string') return value.value;
  problems.push({ place: value.place, text: `${name}: is a text, not ${kindToText(value)}` });
  return undefined;
}
