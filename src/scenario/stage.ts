/** What the steps of a running scenario work with, and what they leave for the judgement. */
import type { HandoverRecord, MoveRecord, SupervisorApi, UpResult } from '../control/api.js';
import type { ConflictResult } from '../conflict/index.js';
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
  readonly conflicts: ConflictResult[];
  readonly stepLoads: WorkloadResult[];
  /** Of each operation, in order: when it held sessions. */
  readonly windows: { readonly operation: string; readonly window: SwitchWindow }[];
}

/** One call to the supervisor, whichever it is now. */
export const ask = <M extends keyof SupervisorApi>(
  { instance }: Stage,
  ...call: SupervisorCall<M>
): Promise<SupervisorApi[M]['result']> => askSupervisor(instance, ...call);

/** What nobody asked for in a step (autoscale, or somebody beside us) counts like what was: its records are those of the event log. */
export async function noteMovesOfOthers(stage: Stage): Promise<void> {
  const events = await ask(stage, 'events', { after: 0, follow: false });
  const known = new Set(stage.moves.map(({ operation }) => operation));
  const others = events.flatMap(({ data }) =>
    data?.schema === 'dbproxy.move/1' && !known.has(String(data.operation))
      ? [data as unknown as MoveRecord]
      : [],
  );
  for (const record of others) {
    const own = events.filter(({ data }) => data?.operation === record.operation);
    for (const window of switchWindows(own)) stage.windows.push({ operation: record.operation, window });
  }
  stage.moves.push(...others);
  stage.moves.sort((a, b) => a.startedAt.localeCompare(b.startedAt));
}

/** When sessions were held up to now. */
export async function switchWindowsOf(stage: Stage): Promise<SwitchWindow[]> {
  await noteMovesOfOthers(stage);
  return stage.windows.map(({ window }) => window);
}

/** Notes when an operation held sessions, from the event log. */
export async function noteWindows(stage: Stage, operation: string): Promise<void> {
  const events = await stage.feed.ofOperation(operation);
  for (const window of switchWindows(events)) stage.windows.push({ operation, window });
}
