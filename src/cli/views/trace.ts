/** A message in a line of its own, as libpq's trace has it (libpq/fe-trace.c). */
import type { TraceLine } from '../../control/api.js';

/** `session`, `time`: whether the line begins with them. */
export const traceView = (
  { session, atMs, direction, bytes, name, fields }: TraceLine,
  shown: { readonly session: boolean; readonly time: boolean },
): string =>
  [
    ...(shown.time ? [timeOf(atMs)] : []),
    ...(shown.session ? [String(session)] : []),
    direction,
    String(bytes),
    fields === '' ? name : `${name}\t${fields}`,
  ].join('\t');

/** `2026-11-29 10:00:00.123456`, in the zone of this process. */
const timeOf = (atMs: number): string => {
  const date = new Date(atMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const micros = Math.floor((atMs % 1_000) * 1_000);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${day} ${time}.${String(micros).padStart(6, '0')}`;
};
