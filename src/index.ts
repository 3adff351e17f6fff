/**
 * dbproxy for programs: PostgreSQL behind the proxy for as long as a test wants it, moved while the application under test
 * is connected (docs/test-your-app.md). A name here is a promise: names are added, not renamed.
 *
 *   import { playground } from 'dbproxy';
 *   const db = await playground.start();
 *   const app = startMyApplication({ DATABASE_URL: db.url });
 *   await db.scale('large');
 *   await db.stop();
 */
import { start } from './playground/start.js';

export const playground = { start };

export type { StartOptions } from './playground/start.js';
export type {
  CheckOptions,
  EventsOptions,
  MoveOptions,
  PatchOptions,
  Playground,
  ScaleOptions,
} from './playground/playground.js';
export { RolledBackError } from './playground/rolled-back-error.js';
export { DbproxyError, type ErrorCode } from './errors/index.js';
export type {
  CheckResult,
  LogEvent,
  MoveLimits,
  MoveRecord,
  PatchStrategy,
  ScaleStrategy,
  SessionStatus,
  StatusResult,
} from './control/api.js';
export type { SizeName } from './engine/types.js';
