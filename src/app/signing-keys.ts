import { readFile, stat } from 'node:fs/promises';
import { createSigner, createTrust } from '../archive/signature.ts';
import type { Signer, Trust } from '../archive/signature.ts';
import type { Signing } from '../catalog/signatures.ts';
import { Failure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import type { Config } from './config.ts';

/** Undefined: nothing that is written is signed. Fails with `key.missing` or `key.invalid`. */
export async function loadSigner({ signing }: Config): Promise<Signer | undefined> {
  if (signing === undefined) return undefined;
  const file = signing.keyFile;
  let pem: string;
  try {
    pem = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Failure('key.missing', `the signing key ${file} can't be read`, {
      facts: { file },
      remedy: 'name a file that this user can read with signing.keyFile',
      cause,
    });
  }
  return createSigner(pem, file);
}

/** Undefined: no signature is asked for. Fails with `key.invalid`. */
export function loadTrust({ trust }: Config): Trust | undefined {
  return trust === undefined ? undefined : createTrust(trust);
}

/** A backup that this very configuration refuses to restore would be found out too late. */
export function refuseUnreadable({ signer, trust }: Signing): void {
  if (trust === undefined || (signer !== undefined && trust.publicKeys.includes(signer.publicKey))) return;
  const what = signer === undefined ? 'signing.keyFile is not set' : 'the signing key is not among them';
  throw new Failure('config.invalid', `trust names keys, but ${what}: what is written would be refused`, {
    facts: { setting: signer === undefined ? 'signing.keyFile' : 'trust' },
    remedy:
      signer === undefined
        ? 'set signing.keyFile where snapshots are taken'
        : `add the key's public half to trust first: ${signer.publicKey}`,
  });
}

const GROUP_AND_OTHERS = 0o077;

/** Who else than its owner may use the key, which makes signatures worth less. Undefined: nobody, or there is no file. */
export async function exposedSigningKey({ signing }: Config): Promise<Finding | undefined> {
  if (signing === undefined) return undefined;
  const mode = (await stat(signing.keyFile).catch(() => undefined))?.mode ?? 0;
  if ((mode & GROUP_AND_OTHERS) === 0) return undefined;
  return {
    level: 'warning',
    check: 'signing.permission',
    message: `others may read or change the signing key ${signing.keyFile} (mode ${(mode & 0o777).toString(8)})`,
    remedy: `chmod 600 ${signing.keyFile}; whoever may have read it can sign as you`,
  };
}
