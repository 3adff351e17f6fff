/** Kinds of flag that several commands have. */
import { custom } from '@oclif/core/flags';
import { SIZE_NAMES, type SizeName } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';

const UNIT_MS: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1_000, min: 60_000 };

/** `250`, `250ms`, `30s`, `5min`; a bare number is ms. */
export const durationFlag = custom<number>({
  helpValue: 'DURATION',
  parse: async (text, _context, { name }) => {
    const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)\s*(ms|s|min)?$/.exec(text) ?? [];
    const ms = Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
    if (Number.isFinite(ms) && ms > 0) return ms;
    throw new DbproxyError('DBP_USAGE', {
      reason: `--${name} is a duration such as 250ms, 30s or 5min, not ${text}`,
    });
  },
});

/** An engine size. */
export const sizeFlag = custom<SizeName>({
  helpValue: SIZE_NAMES.join('|'),
  parse: async (text) => {
    const size = SIZE_NAMES.find((name) => name === text);
    if (size) return size;
    throw new DbproxyError('DBP_USAGE_UNKNOWN_SIZE', { size: text, sizes: SIZE_NAMES.join(', ') });
  },
});
