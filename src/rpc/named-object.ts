/**
 * What a request names, found in any message by the fields that all of them
 * use: for the audit of calls that were refused, also for being malformed. So
 * nothing here may rely on a rule that a request keeps, and what it takes is
 * small: names are cut, lists and maps are left out or cut short.
 */
import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import type { RefusedCall } from '../engine/operations.ts';
import { nameOfJobKey, namespaceFromMessage } from './messages/job-key.ts';
import type { Method } from './services/service.ts';

/** What a request is about, as far as it says. */
export type NamedObject = Pick<RefusedCall, 'namespace' | 'object' | 'details'>;

/** Longer names are cut: rules allow 200 characters. */
const maxNameLength = 200;

/** A selector's labels beyond so many are left out. */
const maxLabels = 10;

/** How deep a request names what it is about: `job.ref.key` of a Trigger, `executions.by_jobs.jobs[0].ref.key` of a Cancel. */
const maxDepth = 4;

/** What a request of a method is about; its kind only where the request was not read, or names nothing. */
export function namedObjectOf(method: Pick<Method, 'desc'>, request: Message | undefined): NamedObject {
  const type = kindOf(method);
  const found = request && find(method.desc.input, request as FieldsOf, type, 0);
  return found ?? { object: { type } };
}

/** A message by the local names of its fields. */
type FieldsOf = Readonly<Record<string, unknown>>;

function find(desc: DescMessage, message: FieldsOf, type: string, depth: number): NamedObject | undefined {
  const own = knownMessages[desc.typeName]?.(message) ?? namedItself(message, type);
  if (own || depth === maxDepth) return own;
  for (const field of desc.fields) {
    const value = fieldValue(field, message);
    const found = value === undefined ? undefined : findIn(field, value, type, depth);
    if (found) return found;
  }
  return undefined;
}

function findIn(field: DescField, value: unknown, type: string, depth: number): NamedObject | undefined {
  switch (field.fieldKind) {
    case 'message':
      return find(field.message, value as FieldsOf, typeOf(field.message) ?? type, depth + 1);
    case 'list': {
      const items = value as readonly unknown[];
      if (items.length !== 1) return undefined;
      if (field.listKind === 'message') {
        return find(field.message, items[0] as FieldsOf, typeOf(field.message) ?? type, depth + 1);
      }
      return field.name === 'execution_ids' ? byId('execution', items[0]) : undefined;
    }
    case 'scalar':
      if (field.name === 'execution_id') return byId('execution', value);
      if (field.name === 'token_id') return byId('token', value);
      return field.name === 'by_backfill' ? byId('backfill', value) : undefined;
    default:
      return undefined;
  }
}

/** The value of a field; undefined where it is absent, or another one of its oneof is set. */
function fieldValue(field: DescField, message: FieldsOf): unknown {
  if (field.oneof === undefined) return message[field.localName];
  const chosen = message[field.oneof.localName] as { readonly case?: string; readonly value?: unknown };
  return chosen?.case === field.localName ? chosen.value : undefined;
}

/** Messages that say by themselves what they name. */
const knownMessages: Readonly<Record<string, (message: FieldsOf) => NamedObject | undefined>> = {
  'carillon.v1.JobKey': (message) => {
    const { namespace, group, name } = message as { namespace: string; group: string; name: string };
    if (name === '') return undefined;
    const key = { namespace: cut(namespace), group: cut(group), name: cut(name) };
    return {
      namespace: namespaceFromMessage(key.namespace),
      object: { type: 'job', name: nameOfJobKey(key) },
    };
  },
  'carillon.v1.Job': ({ id }) => byId('job', id),
  'carillon.v1.JobRef': ({ ref }) => {
    const { case: kind, value } = ref as { readonly case?: string; readonly value?: unknown };
    return kind === 'id' ? byId('job', value) : undefined;
  },
  'carillon.v1.Selector': (message) => {
    const { namespace, group, namePrefix, labels } = message as {
      namespace: string;
      group: string;
      namePrefix: string;
      labels: Readonly<Record<string, string>>;
    };
    const kept = Object.entries(labels)
      .slice(0, maxLabels)
      .map(([name, value]) => [cut(name), cut(value)]);
    const selector = {
      ...(namespace && { namespace: cut(namespace) }),
      ...(group && { group: cut(group) }),
      ...(namePrefix && { namePrefix: cut(namePrefix) }),
      ...(kept.length > 0 && { labels: Object.fromEntries(kept) }),
    };
    return { namespace: selector.namespace, object: { type: 'job' }, details: { selector } };
  },
  'carillon.v1.Namespace': ({ name }) =>
    isName(name) ? { namespace: cut(name), object: { type: 'namespace', name: cut(name) } } : undefined,
  'carillon.v1.WorkerHello': ({ workerId, namespace }) => ({
    namespace: namespaceFromMessage(cut(namespace as string)),
    object: { type: 'worker', name: cut(workerId as string) },
  }),
};

/** A message with a name in a namespace, or with one of them. */
function namedItself({ namespace, name }: FieldsOf, type: string): NamedObject | undefined {
  const hasName = isName(name);
  if (typeof namespace !== 'string' || (namespace === '' && !hasName)) return undefined;
  return {
    namespace: namespaceFromMessage(cut(namespace)),
    object: { type, ...(hasName && { name: cut(name) }) },
  };
}

const isName = (value: unknown): value is string => typeof value === 'string' && value !== '';

function byId(type: string, id: unknown): NamedObject | undefined {
  const number = Number(id);
  return Number.isSafeInteger(number) && number > 0 ? { object: { type, id: number } } : undefined;
}

const cut = (text: string): string =>
  text.length > maxNameLength ? `${text.slice(0, maxNameLength)}…` : text;

/** The kind of thing that a message is, where it is a thing: the first word of `PutCalendar` is what is done to it. */
const typeOf = ({ typeName }: DescMessage): string | undefined => kindOfMessage[typeName];

const kindOfMessage: Readonly<Record<string, string>> = {
  'carillon.v1.Calendar': 'calendar',
  'carillon.v1.Queue': 'queue',
};

/** The kind of thing that a method is about: `secret` of PutSecret, else what its service is named after. */
function kindOf({ desc }: Pick<Method, 'desc'>): string {
  const noun = /^[A-Z][a-z]+([A-Z]\w*?)s?$/.exec(desc.name)?.[1];
  const word = noun ?? desc.parent.name.replace(/Service$/, '');
  return word.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase();
}
