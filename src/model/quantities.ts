const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Bytes for people, in powers of 1000: `1.2 GB`. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A duration for people: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A count for people: `1,234,567`. */
export function formatCount(count: number | bigint): string {
  return count.toString().replaceAll(/\B(?=(\d{3})+(?!\d))/g, ',');
}

/** Reads `500`, `64KB`, `2GB`, `16MiB`; undefined when it is no size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(B|[KMGT]B|[KMGT]iB)?$/i.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const unit = (match[2] ?? 'B').toUpperCase();
  const base = unit.includes('I') ? 1024 : 1000;
  const power = 'BKMGT'.indexOf(unit[0] ?? 'B');
  return Math.round(Number(match[1]) * base ** power);
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `200ms`, `10s`, `2min`, `4h`, `30d`; `5` are seconds. Undefined when it is no time. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|min|h|d)?$/.exec(text.trim());
  if (match === null) return undefined;
  const unit = UNIT_MS[(match[2] ?? 's') as keyof typeof UNIT_MS];
  return Number(match[1]) * unit;
}

const PERIODS: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3600, d: 86_400, w: 604_800 };

/** Milliseconds of `30d`, `12h`, `8w`, `90min`, `10s`; undefined when it is none, or its unit could mean two things. */
export function parsePeriod(text: string): number | undefined {
  const match = /^(\d{1,6})\s*(s|min|h|d|w)$/.exec(text.trim());
  return match === null ? undefined : Number(match[1]) * (PERIODS[match[2] ?? ''] ?? 0) * 1000;
}

/** `30d`, `90min`: what `parsePeriod` reads. */
export function formatPeriod(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  const [unit = 's', size = 1] =
    Object.entries(PERIODS)
      .reverse()
      .find(([name, length]) => name !== 'w' && seconds >= length && seconds % length === 0) ?? [];
  return `${seconds / size}${unit}`;
}

/** Slower than this, with many connections, each one is silent for so long that it looks dead. */
export const LEAST_RATE = 100_000;

/** Reads `20MB/s`, `20MB`, `1.5MiB/s` as bytes per second; undefined without a unit: tools differ in which they mean. */
export function parseRate(text: string): number | undefined {
  const size = /^(.*[KMGT]i?B)(?:\/s)?$/i.exec(text.trim())?.[1];
  return size === undefined ? undefined : parseSize(size);
}
