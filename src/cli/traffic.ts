import { formatBytes, formatCount } from '../model/quantities.ts';
import type { Traffic } from '../storage/meter.ts';

/** The last line of a report: what went between here and the repository. */
export function trafficLine({ requests, retries, sentBytes, receivedBytes }: Traffic): string {
  const kinds = Object.entries(requests).filter(([, count]) => count > 0);
  const total = kinds.reduce((sum, [, count]) => sum + count, 0);
  const each = kinds.map(([kind, count]) => `${formatCount(count)} ${kind}`).join(', ');
  const again = retries === 0 ? '' : `, ${formatCount(retries)} of them sent again`;
  return `  traffic: ${formatBytes(sentBytes)} sent, ${formatBytes(receivedBytes)} received, ${formatCount(total)} requests (${each})${again}`;
}
