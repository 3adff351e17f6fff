/** The flags of operations that move sessions: the same for `scale` and `patch`. */
import { string } from '@oclif/core/flags';
import type { MoveParams } from '../control/api.js';
import { MOVE_DEFAULTS } from '../control/move-defaults.js';
import { durationFlag, reportFlag } from './flags.js';
import { sessionLimitFlags, sessionLimitsOf } from './session-limits.js';

export const moveFlags = {
  'hold-budget': durationFlag({
    default: MOVE_DEFAULTS.holdBudgetMs,
    description: 'longest that one attempt may hold a session',
  }),
  deadline: durationFlag({
    default: MOVE_DEFAULTS.deadlineMs,
    description: 'longest that all attempts together may take',
  }),
  'on-timeout': string({
    options: ['rollback', 'cancel'],
    default: MOVE_DEFAULTS.onTimeout,
    description: 'at the deadline: give up, or cancel the transactions that are still open',
  }),
  unmovable: string({
    options: ['rollback', 'wait', 'drop'],
    default: MOVE_DEFAULTS.unmovable,
    description:
      'a session whose state cannot move: give up, wait until it can or the deadline has come, or end that session with a clear error',
  }),
  report: reportFlag,
  ...sessionLimitFlags,
};

interface Flags {
  readonly 'hold-budget': number;
  readonly deadline: number;
  readonly 'on-timeout': string;
  readonly unmovable: string;
}

export const moveParamsOf = (flags: Flags & Parameters<typeof sessionLimitsOf>[0]): MoveParams => ({
  holdBudgetMs: flags['hold-budget'],
  deadlineMs: flags.deadline,
  onTimeout: flags['on-timeout'] as MoveParams['onTimeout'],
  unmovable: flags.unmovable as MoveParams['unmovable'],
  sessionLimits: sessionLimitsOf(flags),
});
