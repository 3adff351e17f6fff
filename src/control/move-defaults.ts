/** How `scale` and `patch` move sessions when nothing else is asked for. */
import type { MoveParams } from './api.js';

export const MOVE_DEFAULTS: MoveParams = {
  holdBudgetMs: 250,
  deadlineMs: 300_000,
  onTimeout: 'rollback',
  unmovable: 'rollback',
};
