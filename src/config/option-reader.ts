import type { Environment, VariableName } from './env.ts';
import { type ListenAddress, listenAddressFromText } from './listen-address.ts';

/** Says everything that is wrong with the configuration at once. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration is wrong:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** The span of a whole number, both ends allowed. */
export type IntegerRange = { readonly min: number; readonly max: number };

/**
 * Turns variables into values. A value that is wrong is noted as a problem and
 * the default stands in for it, so that one start finds all of them.
 */
export class OptionReader {
  readonly #values: Environment['values'];
  readonly #problems: string[];

  constructor({ values, problems }: Environment) {
    this.#values = values;
    this.#problems = [...problems];
  }

  /** Notes that the value of a variable is wrong. `requirement` goes on after "must"; `value` is what stands if it is not set. */
  refuse(name: VariableName, requirement: string, value?: string | number): void {
    this.#problems.push(`${name}${this.#shownValue(name, value)} must ${requirement}`);
  }

  /** Throws a ConfigError when there was any problem. */
  throwProblems(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }

  text(name: VariableName): string | undefined {
    return this.#values[name];
  }

  integer(name: VariableName, fallback: number, { min, max }: IntegerRange): number {
    return this.#read(name, fallback, `be a whole number from ${min} to ${max}`, (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    });
  }

  flag(name: VariableName, fallback: boolean): boolean {
    const values = new Map([
      ['true', true],
      ['1', true],
      ['false', false],
      ['0', false],
    ]);
    return this.#read(name, fallback, 'be true or false', (text) => values.get(text.toLowerCase()));
  }

  oneOf<const T extends string>(name: VariableName, fallback: T, allowed: readonly T[]): T {
    return this.#read(name, fallback, `be one of ${allowed.join(', ')}`, (text) =>
      allowed.find((value) => value === text),
    );
  }

  someOf<const T extends string>(
    name: VariableName,
    fallback: readonly T[],
    allowed: readonly T[],
  ): readonly T[] {
    const requirement = `be a list, separated by commas, of ${allowed.join(', ')}`;
    return this.list(name, fallback, requirement, (item) => allowed.find((value) => value === item));
  }

  /** A list separated by commas, without repeats, in the order given. */
  list<T>(
    name: VariableName,
    fallback: readonly T[],
    requirement: string,
    parse: (item: string) => T | undefined,
  ): readonly T[] {
    return this.#read(name, fallback, requirement, (text) => {
      const items = text.split(',').map((item) => parse(item.trim()));
      return items.includes(undefined) ? undefined : [...new Set(items as T[])];
    });
  }

  listenAddress(name: VariableName, fallback: ListenAddress): ListenAddress {
    const requirement = 'be host:port or [ipv6]:port, with a port from 0 (any free one) to 65535';
    return this.#read(name, fallback, requirement, listenAddressFromText);
  }

  /** A value of a form of its own; `parse` tells by undefined that it is none. */
  parsed<T>(name: VariableName, fallback: T, requirement: string, parse: (text: string) => T | undefined): T {
    return this.#read(name, fallback, requirement, parse);
  }

  #read<T>(name: VariableName, fallback: T, requirement: string, parse: (text: string) => T | undefined): T {
    const text = this.#values[name];
    if (text === undefined) return fallback;
    const value = parse(text);
    if (value === undefined) this.refuse(name, requirement);
    return value ?? fallback;
  }

  /** A database URL holds a password, a key is one; neither is ever shown. */
  #shownValue(name: VariableName, fallback?: string | number): string {
    const text = this.#values[name];
    if (name === 'DATABASE_URL' || name === 'CARILLON_SECRET_KEY') return '';
    if (text === undefined) return fallback === undefined ? '' : ` is ${fallback} by default but`;
    return ` is ${JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)} but`;
  }
}
