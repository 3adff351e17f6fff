/** A running instance as a program sees it: its URL, its operations, its events. Made by `playground.start`. */
import type {
  CheckResult,
  LogEvent,
  MoveLimits,
  MoveParams,
  MoveRecord,
  PatchStrategy,
  ScaleStrategy,
  SessionStatus,
  StatusResult,
  SupervisorApi,
  UpResult,
} from '../control/api.js';
import { askSupervisor, stopInstance } from '../control/client.js';
import { followEvents } from '../control/follow-events.js';
import { MOVE_DEFAULTS } from '../control/move-defaults.js';
import type { SizeName } from '../engine/types.js';
import { RolledBackError } from './rolled-back-error.js';

/** As the flags of `dbproxy scale`, with the same defaults. */
export type MoveOptions = Partial<MoveParams>;

export interface ScaleOptions extends MoveOptions {
  /** `standby` without it: every session moves. `resize`: the engine itself gets more, as it runs. */
  readonly strategy?: ScaleStrategy;
}

export interface PatchOptions extends MoveOptions {
  /** `standby` without it: a copy of the data with the new version takes over. */
  readonly strategy?: PatchStrategy;
  /** The size to move to in the same step. */
  readonly size?: SizeName;
}

export interface CheckOptions {
  /** How long to wait for a session to come between two transactions, ms; 1000 without it. */
  readonly withinMs?: number;
  readonly limits?: MoveLimits;
}

export interface EventsOptions {
  /** Only events after the one with this number. */
  readonly after?: number;
  /** False: ends with what has happened so far. Without it: goes on until the instance is stopped. */
  readonly follow?: boolean;
}

/** Every method throws DbproxyError; DBP_INSTANCE_NOT_RUNNING once it is stopped. */
export class Playground implements AsyncDisposable {
  readonly name: string;
  /** `postgres://postgres:…@127.0.0.1:…/postgres`, for any client. Stays the same across `scale` and `patch`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  #stopped: Promise<unknown> | undefined;

  constructor({ instance, url, host, port }: UpResult) {
    this.name = instance;
    this.url = url;
    this.host = host;
    this.port = port;
  }

  /** Moves every session to an engine of that size. Throws RolledBackError when they stay where they are. */
  async scale(to: SizeName, options: ScaleOptions = {}): Promise<MoveRecord> {
    return completed(await this.#ask('scale', { ...MOVE_DEFAULTS, ...options, to }));
  }

  /** Moves every session to that minor version, `17.9`. Throws RolledBackError when they stay where they are. */
  async patch(to: string, options: PatchOptions = {}): Promise<MoveRecord> {
    return completed(await this.#ask('patch', { ...MOVE_DEFAULTS, strategy: 'standby', ...options, to }));
  }

  /** What each session holds, and whether it can move now. */
  check({ withinMs = 1_000, limits }: CheckOptions = {}): Promise<CheckResult> {
    return this.#ask('check', { withinMs, ...(limits ? { limits } : {}) });
  }

  async sessions(): Promise<readonly SessionStatus[]> {
    return (await this.#ask('sessions', {})).sessions;
  }

  status(): Promise<StatusResult> {
    return this.#ask('status', {});
  }

  /** What happened and, as it happens, what happens: `operation.step`, `engine.lost`, `operation.completed`, … */
  async *events({ after = 0, follow: goesOn = true }: EventsOptions = {}): AsyncGenerator<LogEvent, void> {
    if (goesOn) yield* followEvents(this.name, after);
    else yield* await this.#ask('events', { after, follow: false });
  }

  /** Stops everything and removes the data. Also by `await using`. */
  async stop(): Promise<void> {
    this.#stopped ??= stopInstance(this.name, { purge: true });
    await this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #ask<M extends keyof SupervisorApi>(
    method: M,
    params: SupervisorApi[M]['params'],
  ): Promise<SupervisorApi[M]['result']> {
    return askSupervisor(this.name, method, params);
  }
}

function completed(record: MoveRecord): MoveRecord {
  if (record.error) throw new RolledBackError(record, record.error);
  return record;
}
