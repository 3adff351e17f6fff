/**
 * When operations held sessions, out of the event log: so that a load, which knows nothing of operations, can tell which
 * of its calls met one.
 */
import type { LogEvent } from './api.js';

/** ms since the Unix epoch. */
export interface SwitchWindow {
  readonly from: number;
  readonly to: number;
}

/**
 * The windows of `events`, in order. An attempt begins with `drain`; with `fence` every session is held, until `move` is
 * done or the attempt is given up. What was given up before `fence` held some of them from `drain` on. A handover holds
 * each session for a moment somewhere between its beginning and its end.
 */
export function switchWindows(events: readonly LogEvent[]): SwitchWindow[] {
  const windows: SwitchWindow[] = [];
  const open = new Map<string, number>();
  for (const event of events) {
    const { operation, step } = (event.data ?? {}) as { operation?: string; step?: string };
    if (operation === undefined) continue;
    const at = Date.parse(event.at);
    const close = (): void => {
      const from = open.get(operation);
      if (from !== undefined) windows.push({ from, to: at });
      open.delete(operation);
    };
    switch (event.type === 'operation.step' ? `step ${step}` : event.type) {
      case 'step drain':
        close();
        open.set(operation, at);
        break;
      case 'step fence':
        open.set(operation, at);
        break;
      case 'operation.started':
        if (operation.startsWith('handover')) open.set(operation, at);
        break;
      case 'step retire':
      case 'operation.attempt':
      case 'operation.completed':
      case 'operation.rolled-back':
        close();
    }
  }
  return windows;
}
