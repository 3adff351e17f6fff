/**
 * What the screen shows, as one value: what was last heard of the instance, what came before, and what the user looks at.
 * Views are functions of it; it changes here alone, by messages (`update`) and by keys (keyboard.ts).
 */
import type { LogEvent, SessionResult, StatusResult } from '../control/api.js';
import { openDialog, type Dialog } from './dialogs.js';
import { isRunning, trackEvent, trackMoves, type OperationTrack } from './operation-track.js';
import { add, NO_SERIES, type Series } from './series.js';
import { clean } from './text.js';

/** The way to the supervisor. */
export type Link =
  | { readonly state: 'connecting' | 'live' }
  | { readonly state: 'reconnecting'; readonly sinceMs: number; readonly reason: string };

export interface EngineHistory {
  readonly cpu: Series;
  readonly tps: Series;
  readonly memory: Series;
  readonly connections: Series;
}

/** A command that was started by a key. */
export interface Task {
  readonly id: number;
  readonly args: readonly string[];
  readonly sinceMs: number;
}

export interface Notice {
  readonly text: string;
  readonly tone: 'good' | 'warn' | 'bad' | 'accent';
  readonly untilMs: number;
}

/** One session that is looked at closely. */
export interface Detail {
  readonly id: number;
  readonly result: SessionResult | null;
  readonly error: string | null;
  readonly scroll: number;
}

export interface Ui {
  /** Id of the session that the cursor is on. */
  readonly selected: number | null;
  readonly filter: string;
  readonly editsFilter: boolean;
  readonly paused: boolean;
  readonly refreshMs: number;
  readonly help: boolean;
  readonly dialog: Dialog | null;
  readonly detail: Detail | null;
  /** Lines that the verdicts are scrolled by; null: they are not looked at. */
  readonly verdicts: number | null;
  readonly notice: Notice | null;
}

export interface Model {
  readonly instance: string;
  /** Verbs that the command line has. */
  readonly verbs: readonly string[];
  /** Versions of PostgreSQL that are here. */
  readonly versions: readonly string[];
  readonly nowMs: number;
  readonly link: Link;
  readonly status: StatusResult | null;
  readonly engines: ReadonlyMap<string, EngineHistory>;
  /** Sessions that were busy, averaged; with transactions per second it gives the latency. */
  readonly latency: Series;
  readonly hold: Series;
  readonly busy: number;
  readonly events: readonly LogEvent[];
  readonly operation: OperationTrack | null;
  /** When each session was last seen to have moved, wall clock ms. */
  readonly movedAt: ReadonlyMap<number, number>;
  readonly tasks: readonly Task[];
  /** The last load that was started found no tables of pgbench. */
  readonly needsTables: boolean;
  readonly ui: Ui;
}

export type Message =
  | { readonly type: 'status'; readonly status: StatusResult; readonly atMs: number }
  | { readonly type: 'events'; readonly events: readonly LogEvent[] }
  | { readonly type: 'link'; readonly link: Link }
  | { readonly type: 'tick'; readonly atMs: number }
  | { readonly type: 'versions'; readonly versions: readonly string[] }
  | { readonly type: 'detail'; readonly id: number; readonly result: SessionResult }
  | { readonly type: 'no-detail'; readonly id: number; readonly error: string }
  | { readonly type: 'task'; readonly task: Task }
  | {
      readonly type: 'task-ended';
      readonly id: number;
      readonly notice: Notice;
      readonly errorCode: string | null;
    }
  | { readonly type: 'notice'; readonly notice: Notice };

const EVENTS_KEPT = 200;
/** How long a session is shown as one that has just moved, ms. */
export const AFTERGLOW_MS = 3_000;
const LONG_MS = 5_000;
/** As good as no session busy, on average. */
const NOBODY = 0.01;
/** Weight of the newest look in the average of busy sessions. */
const SMOOTHING = 0.2;

export const newModel = (instance: string, refreshMs: number, verbs: readonly string[]): Model => ({
  ...{ instance, verbs, versions: [], nowMs: Date.now(), link: { state: 'connecting' }, status: null },
  ...{ engines: new Map(), latency: NO_SERIES, hold: NO_SERIES, busy: 0, events: [], operation: null },
  ...{ movedAt: new Map(), tasks: [], needsTables: false },
  ui: {
    ...{ selected: null, filter: '', editsFilter: false, paused: false, refreshMs },
    ...{ help: false, dialog: null, detail: null, verdicts: null, notice: null },
  },
});

export function update(model: Model, message: Message): Model {
  switch (message.type) {
    case 'status':
      return withStatus(model, message.status, message.atMs);
    case 'events':
      return message.events.reduce(withEvent, model);
    case 'link':
      return { ...model, link: message.link };
    case 'tick':
      return { ...model, nowMs: message.atMs, ui: withoutOldNotice(model.ui, message.atMs) };
    case 'versions':
      return withVersions(model, message.versions);
    case 'detail':
      return withDetail(model, message.id, { result: message.result, error: null });
    case 'no-detail':
      return withDetail(model, message.id, { error: message.error });
    case 'task':
      return { ...model, tasks: [...model.tasks, message.task] };
    case 'task-ended': {
      const tasks = model.tasks.filter(({ id }) => id !== message.id);
      const needsTables = message.errorCode === 'DBP_WORKLOAD_TARGET';
      return { ...model, tasks, needsTables, ui: { ...model.ui, notice: message.notice } };
    }
    case 'notice':
      return { ...model, ui: { ...model.ui, notice: message.notice } };
  }
}

function withStatus(model: Model, status: StatusResult, atMs: number): Model {
  const before = new Map((model.status?.sessions ?? []).map((session) => [session.id, session]));
  const moved = status.sessions.filter(({ id, moves }) => moves > (before.get(id)?.moves ?? moves));
  const movedAt = new Map([...model.movedAt].filter(([, at]) => atMs - at < AFTERGLOW_MS));
  for (const { id } of moved) movedAt.set(id, atMs);
  const busyNow = status.sessions.filter(isBusy).length;
  const busy = model.busy + (busyNow - model.busy) * SMOOTHING;
  const heldNow = status.sessions.map(({ heldMs }) => heldMs ?? 0);
  const heldThen = moved.map(({ lastMoveMs }) => lastMoveMs ?? 0);
  return {
    ...model,
    ...{ status: sanitised(status), nowMs: atMs, movedAt, busy, link: { state: 'live' } },
    engines: withSamples(model.engines, status, atMs),
    latency: add(model.latency, atMs, latencyOf(status, busy)),
    hold: add(model.hold, atMs, Math.max(0, ...heldNow, ...heldThen), 'highest'),
    operation: trackMoves(model.operation, before, status.sessions),
    ui: withoutOldNotice(model.ui, atMs),
  };
}

/** What takes longer than any transaction of a load would take tells nothing of that load. */
const isBusy = ({ state, sinceMs }: StatusResult['sessions'][number]): boolean =>
  (state === 'active' || state === 'in tx') && sinceMs < LONG_MS;

/** Little's law: sessions that are busy, on average, are those that come in a second times how long each takes; ms. */
function latencyOf({ engines }: StatusResult, busy: number): number | null {
  const tps = engines.find(({ role }) => role === 'primary')?.tps ?? 0;
  return tps > 0 && busy > NOBODY ? (busy / tps) * 1_000 : null;
}

function withSamples(
  known: ReadonlyMap<string, EngineHistory>,
  { engines }: StatusResult,
  atMs: number,
): ReadonlyMap<string, EngineHistory> {
  return new Map(
    engines.map((engine) => {
      const history = known.get(engine.id);
      const sample = (series: Series | undefined, value: number | null): Series =>
        add(series ?? NO_SERIES, atMs, value);
      return [
        engine.id,
        {
          cpu: sample(history?.cpu, engine.cpuPercent),
          tps: sample(history?.tps, engine.tps),
          memory: sample(history?.memory, engine.memoryBytes),
          connections: sample(history?.connections, engine.connections),
        },
      ];
    }),
  );
}

/** What clients call themselves and what they ask is shown, and obeyed by no terminal. */
const sanitised = (status: StatusResult): StatusResult => ({
  ...status,
  sessions: status.sessions.map((session) => ({
    ...session,
    user: clean(session.user),
    database: clean(session.database),
    application: clean(session.application),
    query: session.query === null ? null : clean(session.query),
  })),
});

function withEvent(model: Model, event: LogEvent): Model {
  if (event.seq <= (model.events.at(-1)?.seq ?? 0)) return model;
  const events = [...model.events, { ...event, message: clean(event.message) }].slice(-EVENTS_KEPT);
  return { ...model, events, operation: trackEvent(model.operation, event) };
}

/** A dialog that asks for one of them is filled in anew. */
function withVersions(model: Model, versions: readonly string[]): Model {
  const known = { ...model, versions };
  if (model.ui.dialog?.name !== 'patch') return known;
  return { ...known, ui: { ...model.ui, dialog: openDialog('patch', known) } };
}

function withDetail(model: Model, id: number, change: Partial<Detail>): Model {
  const { detail } = model.ui;
  if (detail?.id !== id) return model;
  return { ...model, ui: { ...model.ui, detail: { ...detail, ...change } } };
}

const withoutOldNotice = (ui: Ui, atMs: number): Ui =>
  ui.notice && ui.notice.untilMs < atMs ? { ...ui, notice: null } : ui;

/** Sessions as the filter leaves them, in the order of their ids. */
export function shownSessions({ status, ui: { filter } }: Model): StatusResult['sessions'] {
  const sessions = status?.sessions ?? [];
  const wanted = filter.toLowerCase();
  if (wanted === '') return sessions;
  return sessions.filter((session) =>
    [session.id, session.user, session.database, session.application, session.engine, session.state]
      .concat(session.query ?? '', ...session.stateKinds)
      .some((text) => String(text).toLowerCase().includes(wanted)),
  );
}

/** The switch runs, or has ended a moment ago: everything changes, and is looked at more often. */
export const isSwitching = ({ operation, status }: Model): boolean =>
  isRunning(operation) || (status?.operation ?? null) !== null;
