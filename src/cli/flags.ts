/** Kinds of flag that several commands have. */
import { custom, string } from '@oclif/core/flags';
import { SIZE_NAMES, type SizeName } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { nearest } from '../suggest.js';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000 };

/** As people write it: `30s`. */
const durationText = (ms: number): string =>
  Object.entries(UNIT_MS)
    .filter(([, each]) => ms % each === 0)
    .map(([unit, each]) => `${ms / each}${unit}`)
    .at(-1) ?? `${ms}ms`;

/** `250ms`, `30s`, `5min`. A bare number is refused: some read it as seconds, others as ms. */
export const durationFlag = custom<number>({
  helpValue: 'DURATION',
  defaultHelp: async ({ options }) =>
    typeof options.default === 'number' ? durationText(options.default) : undefined,
  parse: async (text, _context, { name }) => {
    const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)\s*(ms|s|min)$/.exec(text) ?? [];
    const ms = Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
    if (Number.isFinite(ms) && ms > 0) return ms;
    throw new DbproxyError('DBP_USAGE', {
      reason: `--${name} is a duration such as 250ms, 30s or 5min, not ${text}`,
    });
  },
});

const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};

/** `64MB`, `512kB`, `1.5GB`, `0`: with the units of PostgreSQL's own settings, powers of 1024, in any case; bytes. */
export const bytesFlag = custom<number>({
  helpValue: 'SIZE',
  parse: async (text, _context, { name }) => {
    const [, amount, unit = 'B'] = /^(\d+(?:\.\d+)?)\s*([kmgt]?b)?$/i.exec(text) ?? [];
    const known = Object.keys(UNIT_BYTES).find((each) => each.toLowerCase() === unit.toLowerCase());
    const bytes = Math.round(Number(amount) * (UNIT_BYTES[known ?? ''] ?? Number.NaN));
    if (Number.isSafeInteger(bytes)) return bytes;
    throw new DbproxyError('DBP_USAGE', {
      reason: `--${name} is a size such as 64MB, 512kB or 2GB, not ${text}`,
    });
  },
});

/** Beyond it an engine's own counts (int8, and one more is asked for) are of no use. */
const MAX_COUNT = 1_000_000_000;

/** A whole number from 0 to 10⁹. */
export const countFlag = custom<number>({
  helpValue: 'NUMBER',
  parse: async (text, _context, { name }) => {
    const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (number <= MAX_COUNT) return number;
    throw new DbproxyError('DBP_USAGE', {
      reason: `--${name} is a whole number up to ${MAX_COUNT}, not ${text}`,
    });
  },
});

/** `80%` or `80`: 0 to 10 000, in percent. */
export const percentFlag = custom<number>({
  helpValue: 'PERCENT',
  parse: async (text, _context, { name }) => {
    const [, amount] = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text) ?? [];
    const percent = Number(amount ?? Number.NaN);
    if (percent <= 10_000) return percent;
    throw new DbproxyError('DBP_USAGE', { reason: `--${name} is a percentage such as 80%, not ${text}` });
  },
});

/** `4`, `2.5`, or `off`: null. */
export const thresholdFlag = custom<number | null>({
  helpValue: 'NUMBER|off',
  parse: async (text, _context, { name }) => {
    if (text === 'off') return null;
    const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (number <= MAX_COUNT) return number;
    throw new DbproxyError('DBP_USAGE', { reason: `--${name} is a number such as 4, or off, not ${text}` });
  },
});

/** `--report FILE.html`; what is written there says src/report. */
export const reportFlag = string({
  helpValue: 'FILE.html',
  description: 'write a report with charts: one file for the browser, which needs no network',
});

/** An engine size. */
export const sizeFlag = custom<SizeName>({
  helpValue: SIZE_NAMES.join('|'),
  parse: async (text, { id = '' }, { name }) => {
    const size = SIZE_NAMES.find((name) => name === text);
    if (size) return size;
    const next = `${id.replaceAll(':', ' ')} --${name} ${nearest(text, SIZE_NAMES) ?? 'large'}`;
    throw new DbproxyError('DBP_USAGE_UNKNOWN_SIZE', { size: text, sizes: SIZE_NAMES.join(', '), next });
  },
});
