/** Below the engines, while autoscale is on: its bounds, what it measures, and what keeps it from acting, or soon will not. */
import { duration } from '../../cli/format.js';
import type { Model } from '../model.js';
import { between, span, type Line } from '../text.js';

/** From this width on there is room for words. */
const ROOMY = 80;

type Summary = NonNullable<NonNullable<Model['status']>['autoscale']>;

export function autoscaleView({ status }: Model, width: number): Line[] {
  const now = status?.autoscale;
  if (!now?.enabled) return [];
  const to = width < ROOMY ? '–' : ' to ';
  const bounds: Line = [span('autoscale ', 'dim'), span(`${now.min}${to}${now.max}`, 'strong')];
  return [between([...bounds, ...measured(now, width)], tendency(now, width), width)];
}

function measured({ load }: Summary, width: number): Line {
  if (!load) return [span('  begins to look', 'dim')];
  const { cpuPercent, activePerCpu, queued } = load;
  const figure = (name: string, value: number | null, unit: string): Line =>
    value === null ? [] : [span(`  ${name} `, 'dim'), span(`${Math.round(value * 10) / 10}${unit}`)];
  return [
    ...figure('cpu', cpuPercent === null ? null : Math.round(cpuPercent), '%'),
    ...(width < ROOMY ? [] : figure('active', activePerCpu, ' a cpu')),
    ...figure('queue', queued, ''),
  ];
}

/** Where it is heading; or nowhere. */
function tendency({ beyond, coolDownMs, forMs, failures }: Summary, width: number): Line {
  const failed: Line = failures > 0 ? [span(`  failed ${failures} ×`, 'bad')] : [];
  const rests: Line = coolDownMs > 0 ? [span(`  cool-down ${duration(coolDownMs)}`, 'warn')] : [];
  if (!beyond) return [...failed, ...rests];
  const arrow = beyond.direction === 'up' ? '↑' : '↓';
  const [now, whole] = [beyond.forMs, forMs].map((ms) => Math.round(ms / 1_000));
  const words = beyond.direction === 'up' ? 'high for ' : 'low for ';
  const told = `  ${arrow} ${width < ROOMY ? '' : words}${now} of ${whole} s`;
  return [...failed, ...rests, span(told, 'accent')];
}
