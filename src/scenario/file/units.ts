/** Quantities as they are written in a scenario: `5s`, `250ms`, `2min`, `400/s`. */
export const DURATION = /^\d+(?:\.\d+)?\s*(?:ms|s|min)$/;
export const PERCENT = /^\d+(?:\.\d+)?\s*%$/;
export const RATE = /^\d+(?:\.\d+)?\s*\/s$/;

export const UNIT_MS = { ms: 1, s: 1_000, min: 60_000 } as const;
export type DurationUnit = keyof typeof UNIT_MS;

/** Of a text that matches DURATION. */
export function durationMs(text: string): number {
  const [, amount = '', unit = ''] = /^([\d.]+)\s*(\w+)$/.exec(text) ?? [];
  return Number(amount) * UNIT_MS[unit as DurationUnit];
}

/** A value of YAML as PostgreSQL writes it. */
export function asText(value: string | number | boolean | null): string | null {
  if (typeof value === 'boolean') return value ? 't' : 'f';
  return value === null ? null : String(value);
}

/** Of a text that matches RATE (per second) or PERCENT. */
export const amountOf = (text: string): number => Number.parseFloat(text);
