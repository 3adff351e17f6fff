/**
 * Keeps sessions whose engine dies until they go on on another one.
 *
 *   off ──cover()──▶ on ──a session loses its engine──▶ is the engine gone? ──yes──▶ waiting ──revive()──▶ on
 *    ▲                │                                        │ no: that one session is ended, as without a cover
 *    └── caller gone ─┘                                        ▼        waiting ──bound──▶ sessions are ended with 57P01
 *
 * The cover lasts as long as the call of the supervisor, who alone can promote a standby. Sessions that wait are held: what their
 * clients send stays in the kernel, and nobody is answered before there is an engine that the answer holds for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { encode } from '../../protocol/index.js';
import type { EngineRoute, ReviveParams, ReviveResult } from '../control-api.js';
import { EngineAdmin } from '../engine-admin.js';
import { fewAtATime } from '../few-at-a-time.js';
import type { GateServices } from '../gate.js';
import { Tally } from '../move-tally.js';
import type { LookContext } from '../session-move.js';
import type { Keeper, Session } from '../session.js';
import { rebuild, type Rebuilt } from './rebuild.js';
import { keepWatch } from './watchman.js';

/** How long sessions wait for another engine, ms. */
export const COVER_LIMIT_MS = 30_000;
/** Between two looks whether an engine that refused a connection is gone, ms. */
const LOOK_AGAIN_MS = 20;
/** How long what an engine has still said may take to arrive, once its processes are gone; ms. */
const LAST_WORDS_MS = 2_000;
const CONCURRENCY = 8;

interface Covered {
  /** The engine. */
  readonly engine: string;
  /** It is gone. */
  readonly tell: () => void;
}

export class Cover implements Keeper {
  readonly #services: GateServices;
  readonly #gateIsOpen: () => boolean;
  #covered: Covered | null = null;
  #end = new AbortController();
  readonly #orphans = new Set<Session>();
  /** True: sessions wait for another engine. */
  #waiting = false;
  #limit: NodeJS.Timeout | undefined;
  #probing: Promise<boolean> | null = null;
  #waiters: ((isThere: boolean) => void)[] = [];

  constructor(services: GateServices, gateIsOpen: () => boolean) {
    this.#services = services;
    this.#gateIsOpen = gateIsOpen;
  }

  get isOn(): boolean {
    return this.#covered !== null;
  }

  /** For another engine. */
  get waits(): boolean {
    return this.#waiting;
  }

  covers(engine: string): boolean {
    return this.#covered?.engine === engine;
  }

  /** Resolves when the cover ends: the caller is gone, or another cover takes its place. `tell`: the engine is gone. */
  async begin(engine: string, gone: AbortSignal, tell: () => void): Promise<void> {
    this.#end.abort();
    const end = (this.#end = new AbortController());
    const covered = { engine, tell };
    this.#covered = covered;
    for (const session of this.#services.sessions) session.keeper = this;
    gone.addEventListener('abort', () => end.abort());
    if (gone.aborted) end.abort();
    const { sessions } = this.#services;
    const context = (thorough: boolean): Promise<LookContext> => this.#services.context(thorough);
    const admin = (): EngineAdmin | null =>
      this.#gateIsOpen() && !this.#waiting ? this.#services.primary() : null;
    await keepWatch({ sessions, context, admin }, end.signal);
    if (this.#covered === covered) this.#covered = null;
  }

  /** A session has come. */
  joined(session: Session): void {
    if (this.#covered) session.keeper = this;
  }

  left(session: Session): void {
    this.#orphans.delete(session);
  }

  orphaned(session: Session): void {
    this.#orphans.add(session);
    void this.#isGone().then((gone) => {
      // A backend that was killed alone, or an engine that starts anew by itself.
      if (!gone && session.isOrphaned) session.fail('DBP_WIRE_ENGINE_LOST');
    });
  }

  /** For whoever could not reach the engine: is there another one now? Waits for it. False: the engine is not gone. */
  async isThereAnother(): Promise<boolean> {
    if (!(await this.#isGone())) return false;
    if (!this.#waiting) return true;
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #isGone(): Promise<boolean> {
    if (this.#waiting) return Promise.resolve(true);
    this.#probing ??= this.#probe().finally(() => (this.#probing = null));
    return this.#probing;
  }

  async #probe(): Promise<boolean> {
    const engine = this.#services.primary()?.engine;
    const covered = this.#covered;
    if (!engine || !covered || covered.engine !== engine.id) return false;
    // Twice: its socket may be about to be closed.
    for (let look = 0; look < 2; look++) {
      if (await isReachable(this.#services, engine)) return false;
      await delay(LOOK_AGAIN_MS);
    }
    this.#waiting = true;
    this.#limit = setTimeout(() => this.#giveUp(), COVER_LIMIT_MS).unref();
    covered.tell();
    return true;
  }

  #giveUp(): void {
    this.#stopWaiting(false);
    for (const session of [...this.#orphans]) session.fail('DBP_WIRE_ENGINE_LOST');
  }

  #stopWaiting(isThere: boolean): void {
    clearTimeout(this.#limit);
    this.#waiting = false;
    for (const resolve of this.#waiters.splice(0)) resolve(isThere);
  }

  /**
   * The engine is gone for good, and `target` takes writes: every session goes on there. What others can see (LISTEN, advisory
   * locks) is there before anybody goes on.
   */
  async revive({ target, operation, dataLoss }: ReviveParams): Promise<ReviveResult> {
    const before = this.#services.primary()?.engine.id ?? '';
    const admin = new EngineAdmin(this.#services.links, target);
    await admin.warm().catch((error: unknown) => {
      admin.close();
      throw error;
    });
    await this.#lastWords(target);
    this.#services.setPrimary(admin);
    const orphans = [...this.#orphans];
    const tally = new Tally();
    const rebuilt = await this.#rebuildAll(orphans, target, tally);
    this.#stopWaiting(true);
    const text = `${operation}: engine ${before} died`;
    for (const [session, { connection, broken, lost }] of rebuilt) {
      const all = [...(dataLoss === null ? [] : [dataLoss]), ...lost];
      const notice = all.length === 0 ? null : noticeOf(text, target.id, all);
      this.#orphans.delete(session);
      try {
        await session.revive(connection, { broken, notice, operation: text });
        tally.moved(session, lost);
      } catch {
        connection.close();
      }
    }
    return tally.result(orphans.length, false);
  }

  /** What the old engine has still said is delivered, and every session has seen that it is gone. */
  async #lastWords(target: EngineRoute): Promise<void> {
    const end = performance.now() + LAST_WORDS_MS;
    const others = (): Session[] =>
      [...this.#services.sessions].filter(
        (session) => !session.isOrphaned && !session.isClosed && session.server.engine.id !== target.id,
      );
    while (others().length > 0 && performance.now() < end) await delay(1);
    for (const session of others()) session.fail('DBP_WIRE_ENGINE_LOST');
  }

  async #rebuildAll(
    orphans: readonly Session[],
    target: EngineRoute,
    tally: Tally,
  ): Promise<ReadonlyMap<Session, Rebuilt>> {
    const rebuilt = new Map<Session, Rebuilt>();
    await fewAtATime(orphans, CONCURRENCY, async (session) => {
      try {
        rebuilt.set(session, await rebuild(session, target, this.#services));
      } catch (error) {
        const reason = (error as Error).message;
        if (session.isClosed) return;
        session.fail('DBP_WIRE_SESSION_DROPPED', { reason });
        tally.failed.push({ id: session.identity.id, reason });
      }
    });
    return rebuilt;
  }
}

const isReachable = async ({ links }: GateServices, engine: EngineRoute): Promise<boolean> => {
  const admin = new EngineAdmin(links, engine);
  try {
    return await admin.isReachable();
  } finally {
    admin.close();
  }
};

const noticeOf = (operation: string, engine: string, lost: readonly string[]): Buffer =>
  encode.noticeResponse({
    severity: 'WARNING',
    sqlstate: '01000',
    message: `dbproxy goes on on engine ${engine} (${operation})`,
    detail: `Not restored: ${lost.join('; ')}.`,
  });
