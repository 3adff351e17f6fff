/** Scripted demonstrations: each is a recipe of named steps that judges itself and cleans up behind itself. */
import { ExitCode } from '../errors/index.js';
import { runLiveScale } from './live-scale.js';
import type { DemoResult, ScenarioOptions } from './types.js';

export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly aboutSeconds: number;
  run(options?: ScenarioOptions): Promise<DemoResult>;
}

/** The built-in ones; `demo run` without a name takes the first. */
export const SCENARIOS: readonly [Scenario, ...Scenario[]] = [
  {
    name: 'live-scale',
    title: 'Scale up and back under load, without one error',
    aboutSeconds: 30,
    run: runLiveScale,
  },
];

export const exitCodeOf = ({ outcome }: DemoResult): ExitCode =>
  outcome === 'passed' ? ExitCode.done : ExitCode.expectation;

export { runLiveScale };
export { watchSwitch, SCALE_DEFAULTS, type WatchedSwitch } from './watch-switch.js';
export { DEMO_STALL_BOUND_MS } from './expectations.js';
export type * from './types.js';
