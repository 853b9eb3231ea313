import { Failure } from '../model/failure.ts';
import { webhookBody } from './notice.ts';
import type { WebhookFormat } from './notice.ts';
import type { NoticeTarget } from './notifier.ts';

/** A POST of JSON. What is answered is not read; a redirection is not followed: it would lead elsewhere than was written down. */
export function webhookTarget(options: {
  readonly url: string;
  readonly format: WebhookFormat;
  readonly on: NoticeTarget['on'];
}): NoticeTarget {
  // The path of such a URL is its password.
  const name = `webhook ${URL.parse(options.url)?.host ?? ''}`;
  return {
    name,
    on: options.on,
    send: async (notice, signal) => {
      let response: Response;
      try {
        response = await fetch(options.url, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(webhookBody(notice, options.format)),
          redirect: 'manual',
          signal,
        });
        await response.body?.cancel();
      } catch (cause) {
        throw new Failure('notify.failed', `${name} can't be reached (${reasonOf(cause)})`);
      }
      if (!response.ok) throw new Failure('notify.failed', `${name} answered ${response.status}`);
    },
  };
}

/** A code alone: messages name the URL. */
function reasonOf(cause: unknown): string {
  const inner = cause instanceof Error ? (cause.cause ?? cause) : cause;
  if (inner instanceof Error && 'code' in inner && typeof inner.code === 'string') return inner.code;
  return inner instanceof Error ? inner.name : 'unknown';
}
