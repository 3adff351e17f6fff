/**
 * Scripted demonstrations: a YAML file says what is started, what happens and what has to hold; the result goes to people,
 * to CI systems and to reports.
 *
 *   findScenarios ──▶ Scenario ── playScenario ──▶ DemoResult ── reporters ──▶ files
 */
import { catalogue, ExitCode, knownCode } from '../errors/index.js';
import type { DemoResult } from './types.js';

export {
  findScenario,
  findScenarios,
  FIRST_SCENARIO,
  initScenario,
  listScenarios,
  together,
  type ScenarioListing,
} from './bundled.js';
export { readScenario, type Scenario } from './file/read.js';
export { scenarioJsonSchema } from './file/schema.js';
export { METRICS } from './expectations/metrics.js';
export { playScenario } from './play.js';
export * from './report/index.js';
export { watchSwitch, type WatchedSwitch } from './watch-switch.js';
export type * from './types.js';

/** An error has the code of its own; what only did not hold has 3. */
export function exitCodeOf({ outcome, error }: DemoResult): ExitCode {
  if (error) return catalogue[knownCode(error.code)].exit;
  return outcome === 'passed' ? ExitCode.done : ExitCode.expectation;
}
