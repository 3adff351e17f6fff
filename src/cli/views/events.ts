/** One line of the event log for people. */
import type { LogEvent } from '../../control/api.js';
import type { Style } from '../style.js';

const TYPE_WIDTH = 21;

export function eventView({ at, type, message }: LogEvent, style: Style): string {
  const paint = /lost|rolled-back|failed/.test(type)
    ? style.bad
    : /completed|up$/.test(type)
      ? style.good
      : style.accent;
  return `${style.dim(clock(at))}  ${paint(type.padEnd(TYPE_WIDTH))}  ${message}`;
}

/** Local time with milliseconds. */
function clock(iso: string): string {
  const time = new Date(iso);
  const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}.${pad(time.getMilliseconds(), 3)}`;
}
