/** What the steps of a running scenario work with, and what they leave for the judgement. */
import type { HandoverRecord, MoveRecord, SupervisorApi, UpResult } from '../control/api.js';
import { askSupervisor, type SupervisorCall } from '../control/client.js';
import { switchWindows, type SwitchWindow } from '../control/switch-windows.js';
import type { WorkloadProcess, WorkloadProgress, WorkloadResult } from '../workload/index.js';
import type { EventFeed } from './event-feed.js';
import type { SqlSessions } from './sql-sessions.js';

export interface Stage {
  readonly instance: string;
  readonly up: UpResult;
  readonly feed: EventFeed;
  readonly sessions: SqlSessions;
  /** The scenario's own load. */
  load: WorkloadProcess | null;
  progress: WorkloadProgress | null;
  readonly moves: MoveRecord[];
  readonly handovers: HandoverRecord[];
  readonly stepLoads: WorkloadResult[];
  /** Of each operation, in order: when it held sessions. */
  readonly windows: { readonly operation: string; readonly window: SwitchWindow }[];
}

/** One call to the supervisor, whichever it is now. */
export const ask = <M extends keyof SupervisorApi>(
  { instance }: Stage,
  ...call: SupervisorCall<M>
): Promise<SupervisorApi[M]['result']> => askSupervisor(instance, ...call);

/** Notes when an operation held sessions, from the event log. */
export async function noteWindows(stage: Stage, operation: string): Promise<void> {
  const events = await stage.feed.ofOperation(operation);
  for (const window of switchWindows(events)) stage.windows.push({ operation, window });
}
