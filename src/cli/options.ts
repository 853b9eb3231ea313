import { Option } from 'commander';
import type { Command } from 'commander';
import { Failure } from '../model/failure.ts';
import { LEAST_RATE, parseDuration, parseRate, parseSize } from '../model/quantities.ts';
import type { CommonOptions } from '../app/settings.ts';

/** Options that every command takes. */
export interface GlobalOptions extends CommonOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly yes: boolean;
}

export function addCommonOptions(command: Command): Command {
  return command
    .option('-c, --config <FILE>', 'configuration file (default: tidemark.yaml, if it is there)')
    .option(
      '--url <URL>',
      'the source; also env:NAME or service:NAME (default: configuration, DATABASE_URL, SUPABASE_DB_URL)',
    )
    .option('--source <NAME>', 'name of the source in the repository (default: main)')
    .option('--repository <WHERE>', 'a folder, s3://bucket/prefix, or a name from the configuration')
    .option('--identity-file <FILE>', 'private key of an encrypted repository')
    .option('--json', 'print one JSON document', false)
    .option('--quiet', 'print results and errors only', false)
    .option('-y, --yes', 'do not ask', false);
}

/** An option that may be given several times. */
export function repeated(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be given several times`)
    .default([], 'none')
    .argParser((value: string, before: string[]) => [...before, value]);
}

export function wholeNumber(name: string, limits: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < limits.min || value > limits.max) {
      throw new Failure('usage.invalid', `${name} takes a whole number from ${limits.min} to ${limits.max}`);
    }
    return value;
  };
}

export function seconds(name: string) {
  return (text: string): number => {
    const milliseconds = parseDuration(text);
    if (milliseconds === undefined)
      throw new Failure('usage.invalid', `${name} takes a time like 5s or 2min`);
    return milliseconds;
  };
}

function rate(name: string) {
  return (text: string): number => {
    const bytesPerSecond = parseRate(text);
    if (bytesPerSecond === undefined || bytesPerSecond < LEAST_RATE)
      throw new Failure('usage.invalid', `${name} takes a rate like 20MB/s, at least 100KB/s`);
    return bytesPerSecond;
  };
}

/** What `limits.upload` of a repository says, for this run. */
export function limitUpload(): Option {
  const name = '--limit-upload';
  return new Option(`${name} <RATE>`, 'send no faster, like 20MB/s').argParser(rate(name));
}

/** What `limits.download` of a repository says, for this run. */
export function limitDownload(): Option {
  const name = '--limit-download';
  return new Option(`${name} <RATE>`, 'receive no faster, like 20MB/s').argParser(rate(name));
}

export function size(name: string) {
  return (text: string): number => {
    const bytes = parseSize(text);
    if (bytes === undefined) throw new Failure('usage.invalid', `${name} takes a size like 512MB or 4GiB`);
    return bytes;
  };
}
