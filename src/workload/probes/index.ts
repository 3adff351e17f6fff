/** The probes, by name: one for each kind of state that a session carries from engine to engine, and two for its bytes. */
import { advisoryLock } from './advisory-lock.js';
import { copy } from './copy.js';
import { heldCursor } from './held-cursor.js';
import { largeResult } from './large-result.js';
import { listenNotify } from './listen-notify.js';
import { prepared } from './prepared.js';
import type { Probe } from './probe.js';
import { tempTable } from './temp-table.js';

export const PROBES: readonly Probe[] = [
  prepared,
  heldCursor,
  tempTable,
  listenNotify,
  advisoryLock,
  copy,
  largeResult,
];

export { probeWork, type Probe } from './probe.js';
