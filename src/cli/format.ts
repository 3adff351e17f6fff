/** Quantities as people read them. */

/** `0.4 ms`, `12 ms`, `1.2 s`, `3 min 5 s` */
export function duration(ms: number | null): string {
  if (ms === null) return '–';
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** `512 B`, `1.5 kB`, `12 MB`, in powers of 1024 as PostgreSQL's own settings. */
export function size(bytes: number | null): string {
  if (bytes === null) return '–';
  let value = bytes;
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (value < 1024 || unit === 'GB') {
      return `${value < 10 && unit !== 'B' ? value.toFixed(1) : Math.round(value)} ${unit}`;
    }
    value /= 1024;
  }
  return '–';
}

/** `12,345` */
export const count = (value: number | null): string =>
  value === null ? '–' : Math.round(value).toLocaleString('en-US');

/** `1 session`, `2 sessions` */
export const plural = (amount: number, noun: string): string =>
  `${count(amount)} ${noun}${amount === 1 ? '' : 's'}`;

export const percent = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} %`);

/** One line of at most `width` characters. */
export function clip(text: string, width: number): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}

/** The URL with its password left out: for what stays on a screen. */
export function withoutPassword(url: string): string {
  const parsed = new URL(url);
  if (parsed.password) parsed.password = '***';
  return parsed.toString();
}

/** Why the ledger of a load has more than the load: it knows of no time, so that the warm-up counts there. */
export const withWarmUp = (load: {
  readonly ledger: { readonly acknowledged: number } | null;
  readonly transactions: number;
  readonly warmupSeconds: number;
}): string =>
  load.ledger && load.ledger.acknowledged > load.transactions && load.warmupSeconds > 0
    ? `, those of the warm-up (${duration(load.warmupSeconds * 1000)}) too`
    : '';
