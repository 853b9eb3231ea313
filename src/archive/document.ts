import type { z } from 'zod';
import { Failure } from '../model/failure.ts';
import { FORMAT_VERSION } from './manifest.ts';

/**
 * Reads one JSON document; `name` is for the message. Fails with `repository.newer_format` before anything else is
 * judged, else with `integrity.format`.
 */
export function parseDocument<T>(bytes: Uint8Array, name: string, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Failure('integrity.format', `${name} is not JSON`, { facts: { object: name }, cause });
  }
  refuseNewer(json, name);
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new Failure(
      'integrity.format',
      `${name} is not what format version ${FORMAT_VERSION} says, at ${where}`,
      {
        facts: { object: name, at: where },
      },
    );
  }
  return parsed.data;
}

function refuseNewer(json: unknown, name: string): void {
  const version: unknown =
    typeof json === 'object' && json !== null && 'formatVersion' in json ? json.formatVersion : undefined;
  if (typeof version === 'number' && version > FORMAT_VERSION) {
    throw new Failure(
      'repository.newer_format',
      `${name} has format version ${version}; this program knows ${FORMAT_VERSION}`,
      {
        facts: { object: name, formatVersion: version },
      },
    );
  }
}
