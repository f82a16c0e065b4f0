import { once } from 'node:events';
import { type DescMessage, type JsonValue, type MessageShape, toJsonString } from '@bufbuild/protobuf';
import { plainJson, plainText } from './plain-text.ts';

/**
 * Where a command says what it found: results on standard output, remarks on
 * standard error. Every text passes through here and is made harmless, because
 * names, reasons and log lines were written by others.
 */
export class Output {
  /** Whether results are JSON objects, one a line, in place of words. */
  readonly isJson: boolean;

  constructor(options: { readonly isJson: boolean }) {
    this.isJson = options.isJson;
  }

  /** Writes one line for people; waits while the reader is slow. */
  async line(text: string): Promise<void> {
    await write(`${plainText(text)}\n`);
  }

  /** Writes a message as one line of proto JSON. */
  async message<Desc extends DescMessage>(desc: Desc, message: MessageShape<Desc>): Promise<void> {
    await write(`${plainJson(toJsonString(desc, message))}\n`);
  }

  /** Writes a JSON value, which is no message of the contract, as one line. */
  async json(value: JsonValue): Promise<void> {
    await write(`${plainJson(JSON.stringify(value))}\n`);
  }

  /** Writes rows in aligned columns below their titles. */
  async table(titles: readonly string[], rows: readonly (readonly string[])[]): Promise<void> {
    for (const line of alignColumns([titles, ...rows])) await this.line(line);
  }

  /** Writes what a thing is like, one property a line; empty ones are left out. */
  async properties(entries: readonly (readonly [name: string, value: string])[]): Promise<void> {
    for (const line of alignColumns(entries.filter(([, value]) => value !== ''))) await this.line(line);
  }

  /** Writes a remark that is not part of the result. */
  remark(text: string): void {
    process.stderr.write(`${plainText(text)}\n`);
  }
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Rows as lines whose columns begin at the same places; the last column is not filled up. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const plain = rows.map((row) => row.map(plainText));
  const widths: number[] = [];
  for (const row of plain) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return plain.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
