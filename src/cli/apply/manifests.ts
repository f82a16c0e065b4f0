import type { JobKey } from '../../../gen/carillon/v1/job_key_pb.js';
import { jobKeyToText } from '../job-name.ts';
import { type Manifest, readManifest, type WantedJob } from './manifest.ts';
import { type Problem, placeToText } from './placed-value.ts';
import { readYamlDocuments } from './yaml-documents.ts';

/** A file of manifests. */
export type ManifestFile = { readonly name: string; readonly text: string };

/** All manifests of a command, with what is wrong and what is odd in them. */
export type Manifests = {
  readonly manifests: readonly Manifest[];
  readonly problems: readonly Problem[];
  readonly remarks: readonly Problem[];
};

/** Reads files; refuses a job that is in them twice, and remarks on keys that differ only by case. */
export function readManifests(files: readonly ManifestFile[]): Manifests {
  const problems: Problem[] = [];
  const manifests = files.flatMap(({ name, text }) => {
    const { documents, problems: found } = readYamlDocuments(name, text);
    problems.push(...found);
    if (documents.length === 0 && found.length === 0) {
      problems.push({ place: { file: name, line: 1, column: 1 }, text: 'there is no manifest in it' });
    }
    return documents.flatMap((document) => readManifest(document, problems) ?? []);
  });
  const jobs = manifests.flatMap((manifest) => manifest.jobs);
  const remarks: Problem[] = [];
  const byKey = new Map<string, WantedJob>();
  const byFoldedKey = new Map<string, WantedJob>();
  for (const wanted of jobs) {
    const key = keyText(wanted.job.key);
    const folded = key.normalize('NFC').toLowerCase();
    const twin = byKey.get(key);
    const similar = byFoldedKey.get(folded);
    const shown = jobKeyToText(wanted.job.key);
    if (twin) {
      const text = `job ${JSON.stringify(shown)} is at ${placeToText(twin.place)} already`;
      problems.push({ place: wanted.place, text });
    } else if (similar) {
      const text = `job ${JSON.stringify(shown)} differs from the one at ${placeToText(similar.place)} only by case: they are two jobs`;
      remarks.push({ place: wanted.place, text });
    }
    byKey.set(key, wanted);
    byFoldedKey.set(folded, wanted);
  }
  return { manifests, problems, remarks };
}

/** A key as one text, equal for equal keys. */
export const keyText = ({ namespace, group, name }: JobKey): string =>
  JSON.stringify([namespace, group, name]);
