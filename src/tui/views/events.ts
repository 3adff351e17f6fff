/** The bottom: the last events, the newest below. */
import type { LogEvent } from '../../control/api.js';
import type { Model } from '../model.js';
import { fit, span, type Line, type Tone } from '../text.js';
import { clock } from './clock.js';

export function eventsView({ events }: Model, width: number, height: number): Line[] {
  const shown = events.slice(-Math.max(0, height - 1));
  return [[span('events', 'title')], ...shown.map((event) => eventLine(event, width))].slice(0, height);
}

function eventLine({ at, type, message }: LogEvent, width: number): Line {
  const kind: Line = width >= 80 ? [span(`${fit(type, 21)} `, toneOf(type))] : [];
  return [span(`${clock(at)} `, 'dim'), ...kind, span(message, width >= 80 ? 'plain' : toneOf(type))];
}

function toneOf(type: string): Tone {
  if (/lost|rolled-back|failed/.test(type)) return 'bad';
  return /completed|up$/.test(type) ? 'good' : 'accent';
}
