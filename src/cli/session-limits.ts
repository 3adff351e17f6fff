/** Flags of what a session may hold and still be moved: the same for `check`, `scale` and `patch`, so that the one foretells the other. */
import type { MoveLimits } from '../control/api.js';
import { bytesFlag, countFlag, durationFlag } from './flags.js';

export const sessionLimitFlags = {
  'max-temp-bytes': bytesFlag({
    default: 64 * 1024 * 1024,
    defaultHelp: async () => '64MB',
    description: 'most that the temporary tables of a session may hold, or it cannot be moved',
  }),
  'max-cursor-rows': countFlag({
    default: 100_000,
    description: 'most rows of a held cursor, or its session cannot be moved',
  }),
  'max-session-time': durationFlag({
    default: 5_000,
    description: 'longest that the move of one session may take, by estimate, or it cannot be moved',
  }),
};

export const sessionLimitsOf = (flags: {
  'max-temp-bytes': number;
  'max-cursor-rows': number;
  'max-session-time': number;
}): MoveLimits => ({
  tempBytes: flags['max-temp-bytes'],
  cursorRows: flags['max-cursor-rows'],
  sessionMs: flags['max-session-time'],
});
