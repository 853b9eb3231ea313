import { expect, test } from 'vitest';
import { Failure } from '../../../src/model/failure.ts';
import { withoutSecrets } from '../../../src/model/secrets.ts';
import { scheduleFindings } from '../../../src/monitor/judge-schedules.ts';
import { admitNotice } from '../../../src/monitor/notice-policy.ts';
import type { Told } from '../../../src/monitor/notice-policy.ts';
import { formatOf, headlineOf, textOf, webhookBody } from '../../../src/monitor/notice.ts';
import type { Notice } from '../../../src/monitor/notice.ts';
import { Notifier } from '../../../src/monitor/notifier.ts';
import type { NotifyEvent } from '../../../src/monitor/notifier.ts';

const HOUR = 3_600_000;

function notice(given: Partial<Notice> = {}): Notice {
  const failed = {
    kind: 'failure',
    code: 'source.unreachable',
    message: 'no route',
    remedy: 'look',
  } as const;
  return { ...failed, subject: 'daily', source: 'main', at: new Date(0), ...given };
}

/** Which of a row of notices of one subject are sent. */
function sent(...row: readonly (readonly [Notice['kind'], Notice['code'], hours: number])[]): boolean[] {
  let told: Told | undefined;
  return row.map(([kind, code, hours]) => {
    const admitted = admitNotice({ kind, code, at: new Date(hours * HOUR) }, told);
    ({ told } = admitted);
    return admitted.send;
  });
}

test('the same failure is told once in six hours, another one at once', () => {
  const [one, other] = ['source.unreachable', 'repository.full'] as const;
  expect(
    sent(['failure', one, 0], ['failure', one, 5.9], ['failure', other, 5.9], ['failure', one, 6]),
  ).toEqual([true, false, true, true]);
});

test('that it works again is told once, and only after a failure was', () => {
  const code = 'source.unreachable';
  const back = ['recovery', undefined] as const;
  expect(sent([...back, 0], ['failure', code, 1], [...back, 2], [...back, 3])).toEqual([
    false,
    true,
    true,
    false,
  ]);
  // Back and forth: quiet for six hours.
  expect(
    sent(['failure', code, 0], [...back, 1], ['failure', code, 2], [...back, 3], ['failure', code, 7]),
  ).toEqual([true, true, false, false, true]);
});

test('notices hold no secret', () => {
  const message = 'postgresql://me:hunter2@db.example.com/x?password=hunter2 failed: password=hunter2';
  for (const format of ['json', 'slack', 'discord'] as const)
    expect(JSON.stringify(webhookBody(notice({ message }), format))).not.toContain('hunter2');
  expect(textOf(notice({ message }))).toContain('db.example.com');
  expect(withoutSecrets('AGE-SECRET-KEY-1QQQ and https://u:p@h/')).toBe(
    'AGE-SECRET-KEY-*** and https://***@h/',
  );
});

test('forms: by the URL, generic for anybody else', () => {
  expect(formatOf('https://hooks.slack.com/services/T/B/x')).toBe('slack');
  expect(formatOf('https://discord.com/api/webhooks/1/x')).toBe('discord');
  expect(formatOf('https://notdiscord.com/x')).toBe('json');
  expect(Object.keys(webhookBody(notice(), 'slack'))).toEqual(['text']);
  expect(Object.keys(webhookBody(notice(), 'discord'))).toEqual(['content']);
  expect(webhookBody(notice(), 'json')).toMatchObject({
    version: 1,
    kind: 'failure',
    source: 'main',
    subject: 'daily',
    code: 'source.unreachable',
  });
  expect(headlineOf(notice())).toBe('tidemark main: FAILED: daily (source.unreachable)');
});

test('who fails is tried again, keeps nobody from being told, and is an event', async () => {
  const events: NotifyEvent[] = [];
  const heard: string[] = [];
  let tries = 0;
  const on = ['failure'] as const;
  const notifier = new Notifier(
    [
      {
        name: 'broken',
        on,
        send: () => {
          tries += 1;
          return Promise.reject(new Failure('notify.failed', 'no'));
        },
      },
      {
        name: 'well',
        on,
        send: (one) => {
          heard.push(one.kind);
          return Promise.resolve();
        },
      },
      { name: 'happy', on: ['success'], send: () => Promise.reject(new Error('not for me')) },
    ],
    (event) => events.push(event),
    [1, 1],
  );
  notifier.tell(notice());
  notifier.tell(notice());
  notifier.tell(notice({ kind: 'recovery', code: undefined }));
  await notifier.close();
  expect(tries).toBe(6);
  expect(heard).toEqual(['failure', 'recovery']);
  expect(events.map(({ kind, target }) => `${target} ${kind}`)).toEqual([
    'broken not-told',
    'well told',
    'broken not-told',
    'well told',
  ]);
});

test('who does not answer is given up when the program ends', async () => {
  const events: NotifyEvent[] = [];
  const silent = {
    name: 'silent',
    on: ['failure'] as const,
    send: () => new Promise<never>(() => undefined),
  };
  const notifier = new Notifier([silent], (event) => events.push(event));
  notifier.tell(notice());
  await notifier.close(20);
  expect(events.map(({ kind }) => kind)).toEqual(['not-told']);
});

test('status: a schedule that failed, never ran, or is behind', () => {
  const facts = { name: 'daily', due: 10 * HOUR, retries: [], startsAtOnce: true };
  const at = 10 * HOUR;
  const done = { dueAt: at, startedAt: at, end: { at, outcome: 'done' as const, code: undefined } };
  const failed = { ...done, end: { at, outcome: 'failed' as const, code: 'repository.full' } };
  const messages = (runs: (typeof done | typeof failed)[], now = at): string[] =>
    scheduleFindings({ ...facts, runs }, now).map(({ message }) => message);
  expect(messages([done])).toEqual([]);
  expect(messages([failed])).toEqual([expect.stringContaining('failed (repository.full)')]);
  expect(messages([])).toEqual([expect.stringContaining('never run')]);
  const before = { ...done, dueAt: 0 };
  expect(messages([before], at + HOUR / 2)).toEqual([]);
  expect(messages([before], at + 2 * HOUR)).toEqual([expect.stringContaining('not done when it was due')]);
});
