/** Expressions that are hard to search: two hundred that are rare or never fire, and random ones of both dialects. */

/** An expression with its dialect and zone. */
export type RareExpression = {
  readonly expression: string;
  readonly quartz: boolean;
  readonly timeZone: string;
};

const rareUnix: readonly string[] = [
  '0 0 30 2 *',
  '0 0 31 2,4,6,9,11 *',
  '0 0 29 2 *',
  '0 0 29 2 MON',
  '0 0 29W 2 *',
  '0 0 */29 2 MON',
  '0 0 L-28 2 *',
  '0 0 L-28W 2 *',
  '0 0 L-30 * *',
  '0 0 L-30 2 ?',
  '0 0 ? 2 2#5',
  '0 0 * 2 MON#5',
  '0 0 */31 * MON',
  '0 0 */31 * MON#2',
  '0 0 */31 2 *',
  '0 0 */30 2 SUN#5',
  '0 0 1W 1 SUN#5',
  '59 59 23 31 12 SAT',
  '59 59 23 */31 12 SAT',
  '*/59 */59 */23 */31 */12 */7',
  '30 2 * 3 SUNL',
  '*/15 2 * 3 SUNL',
  '30 2 29 3 *',
  '30 2 */29 3 SUN',
  '59 59 2 * 3 SUNL',
  '30 2 */31 3 SUN',
  `${Array.from({ length: 64 }, (_, i) => `${i % 60}-59/${(i % 59) + 1}`)} * * * *`,
  `0 0 * * ${Array.from({ length: 35 }, (_, i) => `${i % 7}#${Math.floor(i / 7) + 1}`)}`,
  '* * * 29 2 *',
  '* * * * * *',
];

const rareQuartz: readonly string[] = [
  '0 0 0 29 2 ? 2025,2026,2027',
  '0 0 0 29 2 ? 2097-2103',
  '0 0 0 29 2 ? 2101/4',
  '0 0 0 ? 2 2#5 2199',
  '0 0 0 1 1 ? 2199',
  '0 30 2 ? 3 1L',
  '0 30 2 ? 3 1L 2026-2199',
  '0 30 2 29 3 ? 2026,2037,2048',
  '59-58 59-58 23-22 31-30 12-11 ? 1970-2199',
  `0 0 0 1 1 ? ${Array.from({ length: 64 }, (_, i) => `${1970 + i}/9`)
    .join(',')
    .slice(0, 220)}`,
];

const zones = ['UTC', 'Europe/Berlin', 'Pacific/Apia', 'Africa/Casablanca', 'Asia/Hebron'];

/** The two hundred: forty expressions in five zones. */
export const hardest: readonly RareExpression[] = zones.flatMap((timeZone) => [
  ...rareUnix.map((expression) => ({ expression, quartz: false, timeZone })),
  ...rareQuartz.map((expression) => ({ expression, quartz: true, timeZone })),
]);

/** Random expressions, the same for a seed. */
export function randomExpressions(count: number, seed: number): readonly RareExpression[] {
  let state = seed;
  const upTo = (n: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const pick = (choices: readonly string[]): string => choices[upTo(choices.length)]!;
  const item = (min: number, max: number): string => {
    const number = (): number => min + upTo(max - min + 1);
    return pick([`${number()}`, `${number()}-${number()}`, `${min}/${1 + upTo(max)}`, 'H', '*']);
  };
  const field = (min: number, max: number): string =>
    upTo(6) === 0 ? [item(min, max), item(min, max)].join(',') : item(min, max);
  const day = (): string =>
    pick([field(1, 31), field(1, 28), 'L', 'LW', 'L-3', '15W', '29', '30', '31', '*']);
  const weekday = (): string => pick([field(1, 7), '2#5', 'FRI', 'SUN#1', '5L', '*']);
  return Array.from({ length: count }, () => {
    const timeZone = pick(zones);
    const [minute, hour, month] = [field(0, 59), field(0, 23), pick([field(1, 12), '2', '2,4', 'FEB'])];
    if (upTo(2) === 0)
      return { expression: [minute, hour, day(), month, weekday()].join(' '), quartz: false, timeZone };
    const days = upTo(2) === 0 ? [day(), month, '?'] : ['?', month, weekday()];
    const year = pick(['', ' *', ' 2027-2030', ' 2100', ' 2199', ' 1970/7']);
    return {
      expression: `${field(0, 59)} ${minute} ${hour} ${days.join(' ')}${year}`,
      quartz: true,
      timeZone,
    };
  });
}
