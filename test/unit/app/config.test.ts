import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/app/config.ts';

test('variables are filled in; a missing one is named', () => {
  const text = 'sources: { main: { url: "${DB}" } }\nrepositories: { local: ./backups }';
  expect(parseConfig(text, 'f', { DB: 'postgresql://x' }).sources?.['main']?.url).toBe('postgresql://x');
  expect(() => parseConfig(text, 'f', {})).toThrow(
    expect.objectContaining({ code: 'config.missing', message: expect.stringContaining('DB') }),
  );
});

test.for([
  ['sources: { main: { url: x, pasword: hunter2 } }', /pasword/],
  ['schedules: []', /schedules/],
  ['sources: { Main: { url: x } }', /sources/],
  ['snapshot: { jobs: many }', /snapshot\.jobs/],
  ['a: [', /not YAML/],
  ['schedules: [{ name: d, cron: "0 2 * *", job: snapshot }]', /schedules\.0\.cron: five fields/],
  ['schedules: [{ name: d, cron: "0 2 * * *", timezone: X/Y, job: snapshot }]', /0\.timezone: a time zone/],
  ['schedules: [{ name: notify, cron: "0 2 * * *", job: snapshot }]', /0\.name: notify is taken/],
  [
    'schedules: [{ name: d, cron: "0 2 * * *", job: snapshot, repository: r }]',
    /0\.repository: no repository r/,
  ],
  ['schedules: [{ name: d, cron: "0 2 * * *", job: hunter2 }]', /schedules\.0\.job/],
  [
    'repositories: { r: ./b }\nschedules: [{ name: p, cron: "0 2 * * *", job: prune }]',
    /schedules\.0: retention says nothing of repository r/,
  ],
  ['notify: [{ email: a@example.com }]', /notify: mail needs smtp/],
  ['notify: [{ webhook: "ftp://hunter2" }]', /notify\.0\.webhook: an http\(s\) URL/],
  ['smtp: { host: h, url: "smtp://h" }', /smtp: either url or host/],
  ['capture: { flush: soon }', /capture\.flush: a time like 10s/],
  ['capture: { maxSlotLag: much }', /capture\.maxSlotLag: a size like 2GB/],
  ['repositories: { a: x, b: y }\ncapture: { repository: c }', /capture\.repository: no repository c/],
  ['trust: []', /trust/],
  ['signing: { keyFile: k, key: hunter2 }', /unknown setting key/],
  ['repositories: { r: { url: x, sekret: hunter2 } }', /repositories\.r: unknown setting sekret/],
  ['repositories: { r: { url: x, limits: { upload: 20 } } }', /repositories\.r\.limits\.upload/],
  ['repositories: { r: { url: x, limits: { upload: 20KB/s } } }', /r\.limits\.upload: a rate like 20MB\/s/],
] as const)('%s is refused by name and without its value', ([text, message]) => {
  expect(() => parseConfig(text, 'f', {})).toThrow(
    expect.objectContaining({ code: 'config.invalid', message: expect.stringMatching(message) }),
  );
  expect(() => parseConfig(text, 'f', {})).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
  );
});
