/** The first line: which instance, how it is, where to connect; and whether what is shown is of now. */
import { duration } from '../../cli/format.js';
import type { Link, Model } from '../model.js';
import { between, span, type Line } from '../text.js';

export function headerView({ instance, status, link, nowMs, ui }: Model, width: number): Line {
  const name: Line = [span('dbproxy ', 'title'), span(instance, 'strong')];
  const state: Line = status
    ? [span(' ● ', stateTone(status.state)), span(status.state), ...address(status.url, width)]
    : [];
  return between(
    [...name, ...state],
    [...liveness(link, nowMs, ui.paused), ...pace(ui.refreshMs, width)],
    width,
  );
}

const stateTone = (state: string) => (state === 'running' || state === 'operating' ? 'good' : 'warn');

const address = (url: string, width: number): Line =>
  width < 80 ? [] : [span(`  ${new URL(url).host}`, 'dim')];

function liveness(link: Link, nowMs: number, paused: boolean): Line {
  if (link.state === 'reconnecting')
    return [span(` reconnecting, ${duration(Math.max(0, nowMs - link.sinceMs))} `, 'moving')];
  if (link.state === 'connecting') return [span('connecting', 'warn')];
  return paused ? [span(' paused: space goes on ', 'held')] : [];
}

const pace = (refreshMs: number, width: number): Line =>
  width < 80
    ? []
    : [span(`  every ${refreshMs < 1_000 ? `${refreshMs} ms` : `${refreshMs / 1_000} s`}`, 'dim')];
