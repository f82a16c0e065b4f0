import type { Job } from '../../../gen/carillon/v1/job_pb.js';
import type { FireTime } from '../../../gen/carillon/v1/job_service_pb.js';
import { warningLine } from '../job-lines.ts';
import { jobKeyToText } from '../job-name.ts';
import { alignColumns } from '../output.ts';
import { changeToText } from './change-text.ts';
import { type Action, countActions, keyOf, type Step } from './plan.ts';

const signs: Readonly<Record<Action, string>> = { create: '+', change: '~', prune: '-', unchanged: '=' };

/** The name of a step's job. */
export const nameOf = (step: Step): string => jobKeyToText(keyOf(step));

/** A step as lines: what is done to which job, and what that means. */
export function stepLines(step: Step): readonly string[] {
  const details = detailsOf(step).map((line) => `    ${line}`);
  return [`${signs[step.action]} ${step.action} ${nameOf(step)}`, ...details];
}

function detailsOf(step: Step): readonly string[] {
  switch (step.action) {
    case 'create':
      return [firesLine(step), ...step.warnings.map(warningLine)];
    case 'change':
      return [
        ...alignColumns(step.changes.map((change) => [change.path, changeToText(change)])),
        ...(step.fireTimes ? fireTimeLines(step.fireTimes) : []),
        ...step.warnings.map(warningLine),
      ];
    case 'prune':
      return [`the manifest has it no more${firesAgain(step.present)}`];
    case 'unchanged':
      return [];
  }
}

/** How many fire times of a new job are told in its line. */
const shownOfCreate = 3;

function firesLine({ fireTimes, wanted }: Extract<Step, { action: 'create' }>): string {
  if (wanted.job.schedules.length === 0) return 'fires when it is triggered';
  const shown = fireTimes.slice(0, shownOfCreate).map(fireTimeToText);
  const more = fireTimes.length > shownOfCreate ? ', …' : '';
  const spread = isSpread(wanted.job) ? ' (for example: the id that it will get spreads H and jitter)' : '';
  return `fires ${shown.join(', ')}${more}${spread}${wanted.job.startPaused ? '; held by its pause' : ''}`;
}

const isSpread = ({ schedules }: Job): boolean =>
  schedules.some(
    ({ kind, jitter }) =>
      (jitter && (jitter.seconds > 0n || jitter.nanos > 0)) ||
      (kind.case === 'cron' && /(^|[\s,])H\b/.test(kind.value.expression)),
  );

function firesAgain({ nextFireTime }: Job): string {
  return nextFireTime ? '' : '; it would not fire again';
}

/** The fire times before and after, side by side; `=` stands between those that stay. */
function fireTimeLines({
  before,
  after,
}: NonNullable<Extract<Step, { action: 'change' }>['fireTimes']>): readonly string[] {
  const rows = Array.from({ length: Math.max(before.length, after.length) }, (_, i) => {
    const [a, b] = [before[i], after[i]];
    return [a ? fireTimeToText(a) : '-', a && b && isSame(a, b) ? '=' : '→', b ? fireTimeToText(b) : '-'];
  });
  if (rows.length === 0) return ['fires when it is triggered, as before'];
  if (rows.every(([, sign]) => sign === '=')) return ['fires at the same times as before'];
  return alignColumns([['FIRES BEFORE', '', 'FIRES AFTER'], ...rows]);
}

const isSame = (a: FireTime, b: FireTime): boolean =>
  a.fireTime?.seconds === b.fireTime?.seconds && a.fireTime?.nanos === b.fireTime?.nanos;

/** The local time; a note where something is special about it. */
const fireTimeToText = ({ localTime, timeZone, note }: FireTime): string => {
  const zone = timeZone === 'UTC' ? '' : ` ${timeZone}`;
  return `${localTime}${zone}${note === '' ? '' : ` (${note})`}`;
};

/** A plan in one line. */
export function planLine(steps: readonly Step[]): string {
  const { create, change, prune, unchanged } = countActions(steps);
  return `plan: ${create} to create, ${change} to change, ${prune} to prune, ${unchanged} unchanged`;
}

/** What has been done, in one line. */
export function doneLine(done: readonly Step[], unchanged: number): string {
  const { create, change, prune } = countActions(done);
  return `${create} created, ${change} changed, ${prune} pruned, ${unchanged} unchanged`;
}

/** An action that has been done. */
export const doneWords: Readonly<Record<Action, string>> = {
  create: 'created',
  change: 'changed',
  prune: 'pruned',
  unchanged: 'unchanged',
};
