/** The verbs of a step: each does its work on the stage and says what it came to. One file per verb. */
import type { Step } from '../file/read.js';
import type { Verb } from '../file/schema.js';
import type { Stage } from '../stage.js';
import { autoscale } from './autoscale.js';
import { check } from './check.js';
import { conflict } from './conflict.js';
import { fault } from './fault.js';
import { patch } from './patch.js';
import { scale } from './scale.js';
import { sleep } from './sleep.js';
import { sql } from './sql.js';
import { until } from './until.js';
import { workload } from './workload.js';

export interface StepContext {
  readonly stage: Stage;
  readonly signal: AbortSignal;
  readonly tell: (detail: string) => void;
}

export interface StepEnd {
  readonly detail: string;
  /** False: it came to something else than it had to. */
  readonly ok: boolean;
}

/** What a step of that verb is given. */
export type StepOf<V extends Verb> = Step & { readonly [verb in V]: NonNullable<Step[V]> };
export type RunStep<V extends Verb> = (step: StepOf<V>, context: StepContext) => Promise<StepEnd>;

const VERBS: { readonly [V in Verb]: RunStep<V> } = {
  ...{ scale, patch, autoscale, check, workload, until, sleep, sql, fault, conflict },
};

export const runStep = (step: Step, context: StepContext): Promise<StepEnd> =>
  (VERBS[step.verb] as RunStep<Verb>)(step as StepOf<Verb>, context);

/** What people read before it is done. */
export function titleOf(step: Step): string {
  if (step.name !== undefined) return step.name;
  switch (step.verb) {
    case 'scale':
      return `scale to ${step.scale?.to}`;
    case 'patch':
      return step.patch?.self ? 'patch --self' : `patch to ${step.patch?.to}`;
    case 'autoscale':
      return step.autoscale?.off ? 'autoscale off' : 'autoscale on';
    case 'until':
      return `until the size is ${step.until?.size}`;
    case 'sleep':
      return `sleep ${(step.sleep ?? 0) / 1000} s`;
    case 'sql':
      return `sql: ${firstLine(step.sql ?? '')}`;
    case 'fault':
      return `kill the ${step.fault?.kill}`;
    case 'workload':
      return `workload ${[step.workload?.script].flat().join(', ')}`;
    case 'check':
      return 'check';
    case 'conflict':
      return 'conflict between the writers';
  }
}

function firstLine(text: string): string {
  const line = text.trim().split('\n')[0] ?? '';
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
