import type { Command } from 'commander';
import { Settings } from '../app/settings.ts';
import { Failure } from '../model/failure.ts';
import { armFailpoints } from '../runtime/failpoints.ts';
import type { GlobalOptions } from './options.ts';
import { Terminal } from './terminal.ts';

/** What a command works with. */
export interface Invocation {
  readonly settings: Settings;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** All options of the command and the common ones, as commander parsed them. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly args: readonly string[];
}

/** Gives commands their settings, their way to print and the signal that ends them. */
export class CommandContext {
  readonly #signal: AbortSignal;
  /** Of the command that ran; for printing a failure in the form that was asked for. */
  terminal = new Terminal({ json: process.argv.includes('--json'), quiet: false });
  /** That a stop was asked for: where a command keeps a log, in its form. */
  announce = (line: string): void => {
    process.stderr.write(`\n${line}\n`);
  };

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  action(command: Command, act: (invocation: Invocation) => Promise<void>): void {
    command.action(async (...given: unknown[]) => {
      const options: GlobalOptions = command.optsWithGlobals();
      this.terminal = new Terminal(options);
      const settings = await Settings.load(options);
      armFailpoints(settings.environment['TIDEMARK_FAILPOINTS'], {
        signal: this.#signal,
        announce: (line) => this.terminal.warn(line),
      });
      warnOfPassword(options, this.terminal);
      const args = given
        .slice(0, -2)
        .flat()
        .filter((arg): arg is string => typeof arg === 'string');
      await act({ settings, terminal: this.terminal, signal: this.#signal, options: { ...options }, args });
    });
  }
}

/** P10: it works, and is hidden from the process list at once (main.ts); others may have seen it before. */
function warnOfPassword(options: GlobalOptions, terminal: Terminal): void {
  const visible = Object.values(options).some(
    (value) => typeof value === 'string' && /^postgres(?:ql)?:\/\/[^/]*:[^@]*@/.test(value),
  );
  if (visible)
    terminal.warn(
      'a password on the command line stays in the shell’s history; env:NAME, service:NAME or tidemark.yaml keeps it out',
    );
}

/** Asks the person at the terminal, unless told not to. Fails with `target.unconfirmed` when nobody can answer. */
export async function confirm(
  question: string,
  invocation: Pick<Invocation, 'terminal' | 'options'>,
): Promise<void> {
  if (invocation.options['yes'] === true) return;
  if (!process.stdin.isTTY || invocation.terminal.json) {
    throw new Failure('target.unconfirmed', `${question} Nobody is there to say yes`);
  }
  const { createInterface } = await import('node:readline/promises');
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await prompt.question(`${question} Type yes to go on: `);
    if (answer.trim().toLowerCase() !== 'yes')
      throw new Failure('target.unconfirmed', 'not confirmed; nothing was changed');
  } finally {
    prompt.close();
  }
}
