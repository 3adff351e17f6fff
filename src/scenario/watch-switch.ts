/** Runs one `scale` for a benchmark and finds out when its sessions were held, so that the load can tell what it met. */
import type { MoveRecord } from '../control/api.js';
import type { Supervisor } from '../control/client.js';
import { MOVE_DEFAULTS } from '../control/move-defaults.js';
import { switchWindows, type SwitchWindow } from '../control/switch-windows.js';
import type { SizeName } from '../engine/types.js';

export interface WatchedSwitch {
  readonly record: MoveRecord;
  /** One per hold attempt; of a completed switch the last one is the switch itself. */
  readonly windows: readonly SwitchWindow[];
}

/** Throws what `scale` throws; a roll-back is a result. */
export async function watchSwitch(supervisor: Supervisor, to: SizeName): Promise<WatchedSwitch> {
  const record = await supervisor.call('scale', { ...MOVE_DEFAULTS, to });
  const events = await supervisor.call('events', { after: 0, follow: false });
  return {
    record,
    windows: switchWindows(events.filter(({ data }) => data?.operation === record.operation)),
  };
}
