import type { DrillDocument } from '../archive/drill-document.ts';
import { formatBytes, formatCount, formatDuration } from '../model/quantities.ts';

const VERDICTS = {
  proved: 'Proved: the restored content equals what the source had.',
  partly: 'Partly proved: nothing failed, but not everything could be compared.',
  disproved: 'Disproved: what came back is not what was there.',
  failed: 'Failed: the point could not be restored.',
} as const;

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}
.verdict{padding:.8rem 1rem;border-radius:.4rem;font-weight:600}
.proved{background:#e3f5e8;color:#12602b}.partly,.skipped{background:#fdf3d7;color:#6b4e00}
.disproved,.failed{background:#fbe3e3;color:#8a1616}
.bar{background:#3b74b8;height:.9rem;border-radius:.2rem;min-width:2px}.time{white-space:nowrap;text-align:right}
td .tag{border-radius:.3rem;padding:.05rem .45rem;font-size:.85rem}`;

/** One page that needs nothing else: no script, no font, no address. Everything that comes from outside is escaped. */
export function htmlReport(drill: DrillDocument): string {
  const { rtoMilliseconds: rto, rpoMilliseconds: rpo, objectives, restored } = drill;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Recovery drill ${text(drill.id)}</title><style>${STYLE}</style></head><body>
<h1>Recovery drill of ${text(drill.source)}</h1>
<p class="verdict ${drill.verdict}">${VERDICTS[drill.verdict]}</p>
<table>
${fact('Drill', drill.id)}
${fact('Point', drill.point.asked === drill.point.target ? drill.point.target : `${drill.point.target} (asked for: ${drill.point.asked})`)}
${drill.snapshot === undefined ? '' : fact('From snapshot', drill.snapshot)}
${fact('Server', `PostgreSQL ${drill.server.major}, ${drill.server.kind === 'local' ? 'a throw-away cluster' : 'a given server'}`)}
${fact('Began', drill.startedAt)}
${restored === undefined ? '' : fact('Restored', `${formatCount(restored.tables)} tables, ${formatCount(BigInt(restored.rows))} rows, ${formatBytes(restored.bytes)} of COPY data, ${formatCount(restored.changes)} changes`)}
${rto === undefined ? '' : fact('Time to restore (RTO)', against(rto, objectives.rtoMilliseconds))}
${rpo === undefined ? '' : fact('Work at risk (RPO)', against(rpo, objectives.rpoMilliseconds))}
${drill.failure === undefined ? '' : fact('Failure', `${drill.failure.message} (${drill.failure.code})`)}
</table>
<h2>Time</h2>
<table>${timeline(drill.phases)}</table>
<h2>Proofs</h2>
<table><tr><th>What</th><th></th><th>Found</th></tr>
${drill.proofs.map((proof) => `<tr><td>${text(proof.name)}</td><td><span class="tag ${proof.outcome}">${proof.outcome}</span></td><td>${text(proof.detail)}</td></tr>`).join('\n')}
</table>
<p><small>${text(drill.createdBy)}, repository ${text(drill.repositoryId)}</small></p>
</body></html>
`;
}

function timeline(phases: DrillDocument['phases']): string {
  const total = phases.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return phases
    .map(({ name, milliseconds }) => {
      const width = total === 0 ? 0 : (100 * milliseconds) / total;
      return `<tr><td>${text(name)}</td><td class="time">${formatDuration(milliseconds)}</td><td style="width:60%"><div class="bar" style="width:${width.toFixed(1)}%"></div></td></tr>`;
    })
    .join('\n');
}

function against(measured: number, objective: number): string {
  return `${formatDuration(measured)}, ${measured <= objective ? 'within' : 'BEYOND'} the objective of ${formatDuration(objective)}`;
}

function fact(name: string, value: string): string {
  return `<tr><th>${name}</th><td>${text(value)}</td></tr>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function text(value: string): string {
  return value.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}
