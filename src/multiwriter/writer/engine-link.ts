/**
 * The writer's own connections to its engine: what others committed is applied here, one after the other, in the order in which it
 * comes. What the engine may not have on disk is retained (retained.ts), so that it can be carried out once more in an engine that has
 * lost it: one that crashed, or the one that took over from it. Its marker tells.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import {
  Applier,
  ApplyDiverged,
  type Ask,
  type Calls,
  claimed,
  compact,
  divergence,
  failedIn,
  inTurn,
  isLost,
  install,
  markDiverged,
  reached,
  readCalls,
  renew,
  type Installation,
  type OnBlocked,
} from '../engine/index.js';
import { faultPoint } from '../../fault-point.js';
import {
  at,
  NO_LSN,
  type Lsn,
  type Proposal,
  type Vector,
  type WriterId,
  writerOf,
} from '../protocol/index.js';
import { Retained } from './retained.js';

/** One connection as superuser, to the database that is written. */
export type Connect = () => Promise<ClientBase & { end(): Promise<void> }>;
type Connection = Awaited<ReturnType<Connect>>;

interface Connections {
  readonly all: readonly Connection[];
  readonly applier: Applier;
  /** On one that does all else. */
  readonly ask: Ask;
}

/** What a former proxy left running holds locks, and cannot commit any more. */
const END_LEFTOVERS = `
  select pg_terminate_backend(pid) from pg_stat_activity
   where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'dbproxy'`;

const RETRY_MS = 50;
/** So often an entry may have ended its connection: it may be a client's code in it that does, and which is left out then. */
const LOST_TIMES = 2;
/** So many are handed over to be applied together: who waits for a row of the first of them waits for all. */
const TOGETHER = 32;

export interface EngineLinkEvents {
  applied(lsn: Lsn): void;
  readonly blocked: OnBlocked;
  /** It is not what the log says. Nothing is applied any more. */
  diverged(reason: string): void;
  /** Connected, and everything retained is there. */
  ready(): void;
  lost(): void;
}

interface Entry {
  readonly lsn: Lsn;
  readonly payload: string;
  /** What it has seen of this writer: not before that is in the engine. */
  readonly after: Lsn;
  /** For an own transaction that its session could not commit here: whoever waits for it. */
  readonly done?: () => void;
}

export class EngineLink {
  readonly #writer: WriterId;
  readonly #events: EngineLinkEvents;
  #connect: Connect | null = null;
  #secret = '';
  #calls: Calls | null = null;
  #connections: Connections | null = null;
  #queue: Entry[] = [];
  /** Own ones that their session could not commit: nothing that waits in the queue can come before them. */
  readonly #own: Entry[] = [];
  #queueBytes = 0;
  readonly #retained = new Retained((vector) => this.#sync(vector));
  /** Own ones that are not yet in the engine. */
  readonly #missingOwn = new Set<Lsn>();
  /** Of this writer's former processes, and not yet in the engine. */
  readonly #former = new Set<Lsn>();
  /** Of each writer the last entry that the engine had when it began; some before it may be missing. */
  #claimed: Vector = {};
  #isRunning = false;
  /** With which entry the connection was lost at last, and within which tables. */
  #lostAt = { lsn: 0, times: 0, within: [] as readonly number[] };
  readonly #endless = new Set<number>();
  #isPaused = false;
  #hasDiverged = false;
  #isClosed = false;
  #idle: (() => void)[] = [];
  /** Connecting, counted: an older attempt ends when a newer one begins. */
  #attempt = 0;

  constructor(writer: WriterId, events: EngineLinkEvents) {
    this.#writer = writer;
    this.#events = events;
  }

  get durable(): Vector {
    return this.#retained.durable;
  }
  /** Nothing of it that was handed over is still to come into the engine. */
  has(upTo: Vector): boolean {
    return this.#retained.has(upTo);
  }
  /** Of the engine that it was connected to last: one that takes over from it has the same. Throws before there was one. */
  get calls(): Calls {
    if (!this.#calls) throw new Error('there was no engine yet');
    return this.#calls;
  }
  get claimed(): Vector {
    return this.#claimed;
  }
  /** All that this writer's former processes have committed is in the engine. */
  get hasFormer(): boolean {
    return this.#former.size === 0;
  }
  get queued(): number {
    return this.#queue.length + this.#own.length;
  }
  get queuedBytes(): number {
    return this.#queueBytes;
  }
  get isReady(): boolean {
    return this.#connections !== null;
  }

  /**
   * Makes the engine this writer's, before it serves anybody. Returns what it has of every writer, without a gap. `keepsSessions`:
   * those that are on it are at a safe point.
   */
  async begin(connect: Connect, installation: Installation, keepsSessions: boolean): Promise<Vector> {
    const connection = await connect();
    this.#secret = installation.secret;
    try {
      if (!keepsSessions) await connection.query(END_LEFTOVERS);
      const isCurrent = keepsSessions && (await renew(connection, installation));
      if (!isCurrent) await install(connection, installation);
      this.#retained.begin(await reached(connection));
      this.#claimed = await claimed(connection);
      const reason = await divergence(connection);
      if (reason !== null) this.#diverged(reason);
    } finally {
      void endAll([connection]);
    }
    await this.attach(connect);
    return this.durable;
  }

  /** Goes on with this engine: the same one, or one that took over from it. */
  async attach(connect: Connect): Promise<void> {
    this.#connect = connect;
    await this.#open();
  }

  /** A transaction of another writer, or of this one before it was restarted. */
  enqueue({ lsn, payload, base }: Proposal): void {
    const entry = { lsn, payload, after: at(base, this.#writer) };
    this.#retained.handedOver(entry);
    if (writerOf(lsn) === this.#writer) this.#former.add(lsn);
    this.#queue.push(entry);
    this.#queueBytes += payload.length;
    // What comes with it is applied with it.
    setImmediate(() => void this.#run());
  }

  /** An own transaction that its session commits: `committed`; or cannot: `replay`. */
  expect({ lsn, payload }: Pick<Proposal, 'lsn' | 'payload'>): void {
    this.#missingOwn.add(lsn);
    this.#retained.handedOver({ lsn, payload });
  }

  /** Resolves when it is in the engine. */
  replay(own: Pick<Proposal, 'lsn' | 'payload'>): Promise<void> {
    this.expect(own);
    return new Promise((resolve) => {
      this.#own.push({ ...own, after: NO_LSN, done: resolve });
      void this.#run();
    });
  }

  committed(lsn: Lsn): void {
    this.#done(lsn);
  }

  /** Nothing is applied any more when it resolves. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    while (this.#isRunning) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  resume(): void {
    this.#isPaused = false;
    void this.#run();
  }

  /** Now and then: what was carried out is made durable. `vector`: what has been handed over, without a gap. */
  tick(vector: Vector): void {
    if (!this.#isPaused) this.#retained.tick(vector);
  }

  async query<Row>(sql: string): Promise<Row[]> {
    return (await this.#ask(sql)).rows as Row[];
  }

  get #ask(): Ask {
    if (!this.#connections) throw new Error('the engine is away');
    return this.#connections.ask;
  }

  close(): void {
    this.#isClosed = true;
    this.#attempt++;
    this.#disconnect();
  }

  // --- applying --------------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (;;) {
        const next = this.#next();
        if (next.length === 0 || !this.#connections || this.#isPaused || this.#hasDiverged || this.#isClosed)
          return;
        await faultPoint('writer.applying');
        const applied = await this.#apply(next);
        if (applied === 0) return;
        for (const entry of next.slice(0, applied)) {
          this.#taken(entry);
          this.#done(entry.lsn);
          entry.done?.();
        }
      }
    } finally {
      this.#isRunning = false;
      for (const wake of this.#idle.splice(0)) wake();
    }
  }

  #next(): readonly Entry[] {
    const [own] = this.#own;
    if (own) return [own];
    const next = this.#queue.slice(0, TOGETHER);
    const tooEarly = next.findIndex(({ after }) => this.#lacksOwn(after));
    return tooEarly < 0 ? next : next.slice(0, tooEarly);
  }

  #lacksOwn(upTo: Lsn): boolean {
    for (const lsn of this.#missingOwn) if (lsn <= upTo) return true;
    return false;
  }

  #taken(entry: Entry): void {
    if (this.#own[0] === entry) {
      this.#own.shift();
      return;
    }
    this.#queue.shift();
    this.#queueBytes -= entry.payload.length;
    this.#events.applied(entry.lsn);
  }

  /** How many of them, from the first on; 0: not now. */
  async #apply(entries: readonly Entry[]): Promise<number> {
    for (;;) {
      const connections = this.#connections;
      if (!connections || this.#isPaused || this.#isClosed) return 0;
      const lsn = entries[0]?.lsn ?? 0;
      const lost = this.#lostAt.lsn === lsn ? this.#lostAt : { lsn, times: 0, within: [] };
      const leavesOut = lost.times >= (this.#endless.size > 0 ? 1 : LOST_TIMES);
      try {
        const how = { leavesOut, withoutIndexes: lost.within };
        return (await connections.applier.apply(entries, this.#events.blocked, how)).length;
      } catch (error) {
        if (error instanceof ApplyDiverged) {
          this.#diverged(error.message);
          return 0;
        }
        // A deadlock, a full disk, a lost connection: once more.
        if (isLost(error)) {
          const table = leavesOut ? failedIn(error) : null;
          const within = table === null ? lost.within : [...lost.within, table];
          this.#lostAt = { lsn, times: lost.times + 1, within };
        }
        await delay(RETRY_MS);
      }
    }
  }

  /** The engine remembers it: a process that comes after this one would not find out before it had served clients. */
  #diverged(reason: string): void {
    if (this.#hasDiverged) return;
    this.#hasDiverged = true;
    this.#events.diverged(reason);
    void this.#markDiverged(reason);
  }

  async #markDiverged(reason: string): Promise<void> {
    try {
      const connection = await this.#connect?.();
      await connection?.query('set synchronous_commit = on');
      if (connection) await markDiverged(connection, reason).finally(() => connection.end());
    } catch {
      // It is away: what comes after it comes to the same entry, and to the same end.
    }
  }

  #done(lsn: Lsn): void {
    this.#former.delete(lsn);
    if (this.#missingOwn.delete(lsn) && this.#queue.length > 0) void this.#run();
    this.#retained.committed(lsn);
  }

  async #sync(vector: Vector): Promise<void> {
    await compact(this.#ask, vector);
  }

  // --- connections -----------------------------------------------------------------------------------------------------

  async #open(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#disconnect();
    for (;;) {
      try {
        const connect = this.#connect;
        if (!connect) return;
        const all = await Promise.all([connect(), connect(), connect()]);
        for (const one of all) one.on('error', () => undefined);
        if (attempt !== this.#attempt) return void (await endAll(all));
        const [applying, watcher, keeper] = all;
        const applier = await Applier.on(this.#writer, applying, watcher, { endless: this.#endless });
        await keeper.query('set synchronous_commit = on');
        this.#calls = await readCalls(keeper, this.#secret);
        await this.#again(applier);
        for (const one of all) {
          one.once('end', () => {
            if (attempt === this.#attempt && !this.#isClosed) this.#lost();
          });
        }
        this.#connections = { all, applier, ask: inTurn(keeper) };
        this.#events.ready();
        void this.#run();
        return;
      } catch (error) {
        if (attempt !== this.#attempt) return;
        if (error instanceof ApplyDiverged) return this.#diverged(error.message);
        await delay(RETRY_MS);
      }
    }
  }

  /** What the engine may have lost. */
  async #again(applier: Applier): Promise<void> {
    for (const entry of this.#retained.mayBeLost())
      await applier.applyAlone(entry, this.#events.blocked, { leavesOut: true });
  }

  #lost(): void {
    this.#disconnect();
    this.#events.lost();
    void this.#open();
  }

  #disconnect(): void {
    const connections = this.#connections;
    this.#connections = null;
    if (connections) void endAll(connections.all);
  }
}

const endAll = async (connections: readonly Connection[]): Promise<void> => {
  await Promise.all(connections.map((one) => one.end().catch(() => undefined)));
};
