import { type DescField, type DescMessage, type JsonValue, type Message, toJson } from '@bufbuild/protobuf';
import { type ReflectList, type ReflectMap, type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { type Duration, StructSchema, type Timestamp } from '@bufbuild/protobuf/wkt';
import { durationToText, instantToText } from '../option-values.ts';

/** A single value of a message: how it reads, and whether nobody should read it. */
export type Leaf = { readonly text: string; readonly isSecret: boolean };

/**
 * The values of a message by their paths: `target.http.url`, `labels.team`,
 * `schedules[nightly].cron.expression`. What has a name in a list is found by it,
 * so that a list with one more entry is otherwise the same.
 */
export function leavesOf<Desc extends DescMessage>(
  desc: Desc,
  message: Message,
  isWanted: (field: DescField) => boolean = () => true,
): ReadonlyMap<string, Leaf> {
  const leaves = new Map<string, Leaf>();
  addMessage(leaves, reflect(desc, message as never), '', false, isWanted);
  return leaves;
}

type Leaves = Map<string, Leaf>;

function addMessage(
  leaves: Leaves,
  message: ReflectMessage,
  path: string,
  isSecret: boolean,
  isWanted: (field: DescField) => boolean = () => true,
): void {
  const before = leaves.size;
  for (const field of message.desc.fields) {
    if (!isWanted(field) || !message.isSet(field)) continue;
    const fieldPath = path === '' ? field.name : `${path}.${field.name}`;
    const value: unknown = message.get(field);
    if (field.fieldKind === 'list') addList(leaves, field, value as ReflectList, fieldPath, isSecret);
    else if (field.fieldKind === 'map') addMap(leaves, field, value as ReflectMap, fieldPath);
    else addSingular(leaves, field, value, fieldPath, isSecret);
  }
  if (path !== '' && leaves.size === before) leaves.set(path, { text: '{}', isSecret: false });
}

function addList(leaves: Leaves, field: DescField, list: ReflectList, path: string, isSecret: boolean): void {
  if (!field.message) {
    leaves.set(path, { text: [...list].map((each) => scalarText(field, each)).join(', '), isSecret });
    return;
  }
  const names: string[] = [];
  for (const [i, item] of [...list].entries()) {
    const named = (item as ReflectMessage).message as { readonly name?: string };
    const name = named.name || String(i);
    names.push(name);
    addMessage(leaves, item as ReflectMessage, `${path}[${name}]`, isSecret || namesSecret(name));
  }
  // Told apart from the entries, because it says something only where these are the same.
  leaves.set(`${path} (order)`, { text: names.join(', '), isSecret: false });
}

function addMap(leaves: Leaves, field: DescField, map: ReflectMap, path: string): void {
  for (const [name, value] of map) {
    const text = scalarText(field, value);
    leaves.set(memberPath(path, String(name)), { text, isSecret: namesSecret(String(name)) });
  }
}

function addSingular(
  leaves: Leaves,
  field: DescField,
  value: unknown,
  path: string,
  isSecret: boolean,
): void {
  if (!field.message) {
    leaves.set(path, { text: scalarText(field, value), isSecret });
    return;
  }
  const { message } = value as ReflectMessage;
  switch (field.message.typeName) {
    case 'google.protobuf.Duration':
      leaves.set(path, { text: durationToText(message as Duration), isSecret });
      break;
    case 'google.protobuf.Timestamp':
      leaves.set(path, { text: instantToText(message as Timestamp), isSecret });
      break;
    case 'google.protobuf.Struct':
      addJson(leaves, toJson(StructSchema, message as never), path, isSecret);
      break;
    default:
      addMessage(leaves, value as ReflectMessage, path, isSecret);
  }
}

function addJson(leaves: Leaves, json: JsonValue, path: string, isSecret: boolean): void {
  if (typeof json !== 'object' || json === null || Array.isArray(json) || Object.keys(json).length === 0) {
    leaves.set(path, { text: typeof json === 'string' ? json : JSON.stringify(json), isSecret });
    return;
  }
  for (const [name, value] of Object.entries(json)) {
    addJson(leaves, value, memberPath(path, name), isSecret || namesSecret(name));
  }
}

function scalarText(field: DescField, value: unknown): string {
  if (!field.enum) return String(value);
  const name = field.enum.value[value as number]?.name ?? String(value);
  const prefix = field.enum.sharedPrefix ?? '';
  return name.toLowerCase().startsWith(prefix) ? name.slice(prefix.length) : name;
}

const memberPath = (path: string, name: string): string =>
  /^[\w-]+$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;

/** Whether what goes by this name, in a header or a parameter, is likely nobody's business. */
const namesSecret = (name: string): boolean =>
  /pass(word|wd|phrase)|secret|token|authori[sz]ation|cookie|credential|(api|private|access)[-_.]?key|signature/i.test(
    name,
  );
