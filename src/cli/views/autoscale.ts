/** `autoscale` for people, and its line in `status`. */
import type { AutoscaleResult, StatusResult } from '../../control/api.js';
import { duration, plural } from '../format.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

export function autoscaleView(result: AutoscaleResult, style: Style): string {
  const { enabled, policy, size, cpus, load, last } = result;
  const mark = enabled ? style.good('●') : style.dim('○');
  const headline = `${mark} ${style.strong(result.instance)} autoscale ${enabled ? 'on' : 'off'}, ${policy.min} to ${policy.max}`;
  const { cpuAbovePercent: above, cpuBelowPercent: below, activeAbove, queueAbove } = policy;
  const beside = (value: string | null, thresholds: string): string =>
    `${(value ?? '–').padEnd(13)} ${style.dim(thresholds)}`;
  const percentOf = load && figure(load.cpuPercent, ' %');
  const rows: [string, string | undefined][] = [
    ['size', size && cpus ? `${size}, ${plural(cpus, 'cpu')} here` : undefined],
    ['cpu', beside(percentOf, `up above ${above} %, ${below > 0 ? `down below ${below} %` : 'never down'}`)],
    ['active', beside(load && figure(load.activePerCpu, ' a cpu'), upAbove(activeAbove))],
    ['queue', beside(load && figure(load.queued, ' waiting'), upAbove(queueAbove))],
    ['for', beside(beyondLine(result), `${duration(policy.forMs)} all the time`)],
    ['cool-down', beside(coolDownLine(result), duration(policy.cooldownMs))],
    [
      'failed',
      result.failures > 0 ? style.warn(`${plural(result.failures, 'attempt')} in a row`) : undefined,
    ],
    ['last', last ? `${style.dim(new Date(last.at).toLocaleTimeString())}  ${last.message}` : undefined],
    ['', last?.outcome === 'rolled-back' ? style.warn('rolled back') : undefined],
  ];
  return [headline, '', facts(rows, style)].join('\n');
}

/** `on, small to large` */
export function autoscaleLine({ autoscale }: StatusResult): string | undefined {
  if (!autoscale?.enabled) return undefined;
  const { min, max, coolDownMs } = autoscale;
  const rests = coolDownMs > 0 ? `, cool-down for ${duration(coolDownMs)}` : '';
  return `on, ${min} to ${max}${rests}`;
}

const figure = (value: number | null, unit: string): string | null =>
  value === null ? null : `${value}${unit}`;

const upAbove = (threshold: number | null): string =>
  threshold === null ? 'not looked at' : `up above ${threshold}`;

const beyondLine = ({ beyond }: AutoscaleResult): string | null =>
  beyond && `${beyond.direction === 'up' ? 'high' : 'low'} for ${duration(beyond.forMs)}`;

const coolDownLine = ({ coolDownMs }: AutoscaleResult): string =>
  coolDownMs > 0 ? `${duration(coolDownMs)} left` : 'over';
