import { randomInt } from 'node:crypto';
import { Failure } from '../model/failure.ts';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** `20261123T100159Z-7f3k2m`: the server's clock, so that ids sort by time, and six random characters. */
export function newId(serverClock: Date): string {
  const time = serverClock
    .toISOString()
    .replaceAll(/[-:]/g, '')
    .replace(/\.\d+Z$/, 'Z');
  return `${time}-${randomCharacters(6)}`;
}

/**
 * An id that sorts behind `last`. Where order decides what counts, the clock alone is not enough: two ids may be of one
 * second, and a clock may be set back.
 */
export function newIdAfter(serverClock: Date, last: string | undefined): string {
  const id = newId(serverClock);
  if (last === undefined || id > last) return id;
  return newId(new Date(timeOfId(last) + 1000));
}

/** What an id says of when it was made: milliseconds of the epoch, to a second. Fails with `integrity.format`. */
export function timeOfId(id: string): number {
  const time = Date.parse(id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-.*$/, '$1-$2-$3T$4:$5:$6Z'));
  if (Number.isNaN(time)) throw new Failure('integrity.format', `not an id: ${JSON.stringify(id)}`);
  return time;
}

export function randomCharacters(count: number): string {
  return Array.from({ length: count }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join('');
}

export function isSnapshotId(text: string): boolean {
  return /^\d{8}T\d{6}Z-[0-9a-z]{6}$/.test(text);
}

/** A source's name in a repository. Fails with `config.invalid`. */
export function assertSourceName(name: string): void {
  if (!/^[a-z0-9][a-z0-9_-]{0,30}$/.test(name)) {
    throw new Failure('config.invalid', `not a source name: ${JSON.stringify(name)}`, {
      remedy: 'use up to 31 lower-case letters, digits, _ and -, beginning with a letter or digit',
    });
  }
}
