/** Names that a scenario file shares with the rest of dbproxy. */
import type { PhasesMs } from '../../control/api.js';
import type { SizeName } from '../../engine/types.js';

export const SIZE_NAMES = ['small', 'medium', 'large', 'xlarge'] as const satisfies readonly SizeName[];

/** Of an operation that moves sessions, in their order (docs/architecture.md). */
export const SWITCH_STEPS = [
  'provision',
  'warm',
  'drain',
  'fence',
  'catchup',
  'promote',
  'move',
  'retire',
] as const satisfies readonly (keyof PhasesMs)[];
