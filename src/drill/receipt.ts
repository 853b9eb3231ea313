import { receiptSchema } from '../archive/drill-document.ts';
import type { DrillDocument, Receipt } from '../archive/drill-document.ts';
import { parseDocument } from '../archive/document.ts';
import { FORMAT_VERSION } from '../archive/manifest.ts';
import { assertSigned } from '../archive/signature.ts';
import type { Signer, Trust } from '../archive/signature.ts';

/**
 * Two lines: JSON, and the base64 of an Ed25519 signature over that line's bytes without its newline. It holds no row
 * and no name of a table, so that it can be shown to anyone.
 */
export function writeReceipt(drill: DrillDocument, signer: Signer): string {
  const of = (outcome: DrillDocument['proofs'][number]['outcome']): number =>
    drill.proofs.filter((proof) => proof.outcome === outcome).length;
  const receipt: Receipt = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-drill-receipt',
    drill: drill.id,
    source: drill.source,
    repositoryId: drill.repositoryId,
    point: drill.point.target,
    ...(drill.snapshot !== undefined && { snapshot: drill.snapshot }),
    startedAt: drill.startedAt,
    finishedAt: drill.finishedAt,
    verdict: drill.verdict,
    proofs: { proved: of('proved'), disproved: of('disproved'), skipped: of('skipped') },
  };
  const line = JSON.stringify(receipt);
  return `${line}\n${signer.sign(Buffer.from(line)).toString('base64')}\n`;
}

/** Fails with `integrity.signature` unless a trusted key signed it, or `integrity.format`. */
export function readReceipt(text: string, trust: Trust): Receipt {
  const [line = '', signature = ''] = text.split('\n');
  const bytes = Buffer.from(line);
  assertSigned({ name: 'the receipt', bytes, signature: Buffer.from(signature, 'base64') }, trust);
  return parseDocument(bytes, 'the receipt', receiptSchema);
}
