/** The coordinator of a switchover, and the pieces that a supervisor needs to finish one that it finds half-done. */
export { switchover, routeTo } from './switchover.js';
export { inPlace } from './in-place.js';
export { rollBack } from './roll-back.js';
export { letGo } from './let-go.js';
export { moveSessions, promoteForSure, NOTHING_MOVED } from './forward.js';
export { setWritable } from './fence.js';
export { EngineLink } from './engine-link.js';
export { roundMs } from './stopwatch.js';
export { SWITCHOVER_STEPS } from './steps.js';
export type {
  InPlacePlan,
  Journal,
  StepTimes,
  SwitchoverLimits,
  SwitchoverPlan,
  SwitchoverPorts,
  SwitchoverResult,
  SwitchoverStep,
} from './types.js';
