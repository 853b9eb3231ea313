import type { Failure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';

/** Stable shape of what `--json` prints; grows, never changes. */
const JSON_VERSION = 1;

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

/**
 * The only writer of stdout. Results go to stdout; what a person wants to know meanwhile goes to stderr, so
 * that a pipe gets results alone. With `json` stdout is one document, or one on each line where results stream.
 */
export class Terminal {
  readonly json: boolean;
  readonly quiet: boolean;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
  }

  /** Interactive: somebody watches, and can be asked. */
  get interactive(): boolean {
    return process.stderr.isTTY && !this.json;
  }

  /** A result: the JSON document, or the lines for people. */
  result(document: Readonly<Record<string, unknown>>, lines: readonly string[]): void {
    if (this.json)
      process.stdout.write(
        `${JSON.stringify({ version: JSON_VERSION, ok: true, ...document }, jsonValue, 2)}\n`,
      );
    else process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  }

  /** One of many results, as it comes: a JSON document on a line of its own, or a line for people. */
  line(document: Readonly<Record<string, unknown>>, line: string): void {
    const text = this.json ? JSON.stringify({ version: JSON_VERSION, ...document }, jsonValue) : line;
    process.stdout.write(`${text}\n`);
  }

  note(line: string): void {
    if (!this.quiet && !this.json) process.stderr.write(`${line}\n`);
  }

  warn(line: string): void {
    if (!this.json) process.stderr.write(`warning: ${line}\n`);
  }

  failure(failure: Failure): void {
    const { code, message, facts, remedy } = failure;
    if (this.json) {
      const error = { code, message, facts, remedy };
      process.stdout.write(`${JSON.stringify({ version: JSON_VERSION, ok: false, error }, jsonValue, 2)}\n`);
    }
    // A progress bar may have left its line below the cursor.
    const clear = process.stderr.isTTY ? '\r\u001B[0J' : '';
    process.stderr.write(`${clear}error: ${message}\n  code:   ${code}\n  remedy: ${remedy}\n`);
  }
}

/** Said wherever something stored is shown or used without `trust`. */
export const NOT_AUTHENTICATED = 'not authenticated: whoever can write the repository may have written it';

export function findingLine(finding: Finding): string {
  const mark = { ok: 'ok     ', info: 'info   ', warning: 'warning', error: 'ERROR  ' }[finding.level];
  const remedy = finding.remedy === undefined ? '' : `\n          → ${finding.remedy}`;
  return `${mark}  ${finding.check}: ${finding.message}${remedy}`;
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const right = header.map(
    (_, column) =>
      rows.length > 0 && rows.every((row) => /^[\d,.]+( [KMGTP]?B| %)?$/.test(row[column] ?? '')),
  );
  return all.map((row) =>
    row
      .map((cell, column) =>
        right[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

function jsonValue(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
