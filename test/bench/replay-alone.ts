// Replays all that a repository has of its only stream onto a target, in a process of its own.
import { openRepository } from '../../src/catalog/repository.ts';
import { readChanges } from '../../src/catalog/read-changes.ts';
import { readingBetween } from '../../src/catalog/reading.ts';
import { StreamView } from '../../src/catalog/stream-view.ts';
import { streamTip } from '../../src/catalog/stream-tip.ts';
import { listStreams } from '../../src/catalog/streams.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { replay } from '../../src/replay/replay.ts';
import { openReplaySession } from '../../src/replay/session.ts';
import { openStore } from '../../src/storage/open-store.ts';

const [folder = '', target = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const source = 'main';
const started = performance.now();
const store = await openStore({ url: folder });
const repository = await openRepository(store, { signal, signer: undefined, trust: undefined });
const [stream = ''] = await listStreams(repository, { source, signal });
const view = await StreamView.open(repository, { source, stream }, { signal });
const { to, latestCommitTime } = await streamTip(view);
const { segments } = await readingBetween(view, view.start, to);
await using session = await openReplaySession(parseConnectionUrl(target, {}), {
  settings: view.document.settings,
  encoding: 'UTF8',
  signal,
});
const report = await replay(session, {
  id: 'bench',
  records: readChanges(repository, { source, stream }, { segments, opener: undefined, signal }),
  stop: { kind: 'latest' },
  reach: { position: to, time: latestCommitTime },
  tie: { kind: 'position', lsn: view.start },
  signal,
});
await store.close();
process.stdout.write(
  `${JSON.stringify({ milliseconds: performance.now() - started, changes: report.changes })}\n`,
);
