/** Decisions in words, with the figures behind them: one line for people. */
import type { SizeName } from '../../engine/types.js';
import type { Cpus, Wish } from './decide.js';
import type { AutoscalePolicy, Obstacle, Reason } from './types.js';

/** `small → medium: cpu 143 % of 1 cpu (131 to 160), above 80 % for 30 s` */
export function wishInWords(from: SizeName, wish: Wish, policy: AutoscalePolicy, cpus: Cpus): string {
  return `${from} → ${wish.to ?? 'a larger size'}: ${because(from, wish, policy, cpus)}`;
}

/** `stays medium, although cpu …: cool-down for another 40 s` */
export function stayInWords(
  from: SizeName,
  wish: Wish & { readonly why: Obstacle },
  policy: AutoscalePolicy,
  cpus: Cpus,
  { operation, coolDownMs }: { readonly operation: string | null; readonly coolDownMs: number },
): string {
  const why: Record<Obstacle, string> = {
    bound: `${from} is the largest size it may have`,
    machine: `a larger size would have no more than the ${inCpus(cpus[from])} of this machine`,
    busy: `${operation ?? 'an operation'} is under way`,
    'cool-down': `the cool-down goes on for ${seconds(coolDownMs)}`,
  };
  return `stays ${from}, ${why[wish.why]}: ${because(from, wish, policy, cpus)}`;
}

export const seconds = (ms: number): string =>
  ms < 120_000 ? `${Math.ceil(ms / 1_000)} s` : `${Math.ceil(ms / 60_000)} min`;

function because(from: SizeName, { direction, reasons }: Wish, policy: AutoscalePolicy, cpus: Cpus): string {
  if (reasons.length === 0) return `${from} is outside of ${policy.min} to ${policy.max}`;
  const said = reasons.map((reason) => figureInWords(reason, direction, cpus[from]));
  return `${said.join('; ')}; for ${seconds(policy.forMs)}`;
}

function figureInWords(reason: Reason, direction: Wish['direction'], cpus: number): string {
  const { figure, threshold, lowest, mean, highest } = reason;
  const range = `${amount(lowest)} to ${amount(highest)}`;
  const beyond = direction === 'up' ? 'above' : 'below';
  switch (figure) {
    case 'cpu':
      return `cpu ${amount(mean)} % of ${inCpus(cpus)} (${range}), ${beyond} ${amount(threshold)} %`;
    case 'active':
      return `${amount(mean)} active sessions for each of ${inCpus(cpus)} (${range}), ${beyond} ${amount(threshold)}`;
    case 'queue':
      return `${amount(mean)} sessions wait for a cpu (${range}), ${beyond} ${amount(threshold)}`;
  }
}

const inCpus = (cpus: number): string => `${cpus} ${cpus === 1 ? 'cpu' : 'cpus'}`;

const amount = (value: number): string =>
  value < 10 && value !== Math.round(value) ? value.toFixed(1) : String(Math.round(value));
