import { Failure } from '../model/failure.ts';
import type { Connection } from './connection.ts';

const PULSE_MS = 5000;

/**
 * What a session answers, or `<side>.lost` when it says nothing for the `tcp_user_timeout` of its URL. For short
 * queries: keepalives find a peer that is gone, but not one whose network, proxy or pooler keeps the connection and
 * passes nothing on, and bytes that wait to be sent are given up by the kernel only after a quarter of an hour.
 */
export async function answerInTime<T>(connection: Connection, answer: Promise<T>): Promise<T> {
  const { settings, side } = connection;
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const seconds = Math.round(settings.silenceMs / 1000);
      reject(
        new Failure(`${side}.lost`, `${settings.display} has not answered for ${seconds} s`, {
          facts: { silenceMs: settings.silenceMs },
        }),
      );
    }, settings.silenceMs);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks a session of its own, every few seconds, whether the server is still there; `failed` is called once if not. */
export function watchPulse(connection: Connection, failed: (error: unknown) => void): { stop(): void } {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    try {
      await answerInTime(connection, connection.query('SELECT 1'));
      if (!stopped) schedule();
    } catch (error) {
      if (!stopped) failed(error);
    }
  };
  const schedule = (): void => {
    timer = setTimeout(() => void ask(), PULSE_MS);
  };
  schedule();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
