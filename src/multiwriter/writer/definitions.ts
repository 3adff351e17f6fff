/**
 * Changes of definitions, each of which excludes every transaction that has not seen it: they go through the primary, one after the other,
 * and the other writers propose nothing while one is made. Without that a change would lose against whoever has committed since it began,
 * again and again. All of it is effort only: what collides all the same is refused.
 *
 *   session ─ quiesce ─▶ its turn ─▶ the others are quiet ─▶ what they have committed is here ─▶ its statement … ─ passTurn
 */
import { setTimeout as delay } from 'node:timers/promises';
import { at, labelOf, type Lsn, type WriterId } from '../protocol/index.js';
import type { Changes } from './changes.js';
import type { Log } from './log.js';
import type { Peers } from './peers.js';
import type { Participant, RefusedCommit } from './transaction.js';
import { Turns } from './turns.js';

/** So long the others wait for one that changes definitions. */
const QUIET_MS = 1_000;
/** So long one that changes definitions waits for another one of this writer. */
const TURN = { limitMs: 5_000, quietMs: 1_000 };
/** So long the primary may take to say where its clients connect. */
const ASK_URL_MS = 2_000;
const ASK_AGAIN_MS = 50;

export interface DefinitionsHost {
  readonly writer: WriterId;
  readonly log: Pick<Log, 'inFlight' | 'primary' | 'reached'>;
  readonly peers: Pick<Peers, 'ask'>;
  readonly changes: Changes;
  /** It is the primary, and has its engine. */
  readonly mayDefine: () => boolean;
  /** Everything that the log has handed over is in the engine. */
  readonly hasAll: () => boolean;
}

export class Definitions {
  readonly #host: DefinitionsHost;
  readonly #turns = new Turns<Participant>();
  /** For whom the others are quiet. */
  readonly #quietFor = new Set<Participant>();
  /** Those that wait for their keys, of which every transaction has one: nobody else takes some meanwhile. */
  #submitting = 0;
  /** Proposals wait until then (ms, monotonic): another writer changes definitions. */
  #quietUntil = 0;

  constructor(host: DefinitionsHost) {
    this.#host = host;
  }

  /** May it be proposed, as far as definitions are concerned? */
  mayPropose(isDefinition: boolean): boolean {
    return performance.now() >= this.#quietUntil && (isDefinition || this.#submitting === 0);
  }

  /** Proposes one; what is none waits until that is done. */
  async submitting<T>(work: () => Promise<T>): Promise<T> {
    this.#submitting++;
    try {
      return await work();
    } finally {
      this.#submitting--;
    }
  }

  /** Before the statement: it is its turn, and the others propose nothing for a while, and what they have committed is here. */
  async quiesce(participant: Participant): Promise<void> {
    const { peers, changes, mayDefine } = this.#host;
    if (!mayDefine()) return;
    await this.#turns.take(participant, TURN);
    this.#quietFor.add(participant);
    const answers = await peers.ask('writer.quiet', { forMs: QUIET_MS }, QUIET_MS);
    const end = performance.now() + QUIET_MS;
    for (const answer of answers)
      while (answer && !this.#has(answer.writer, answer.upTo) && performance.now() < end)
        await changes.next();
  }

  /** Its transaction is over, or has not begun. Nothing was proposed where it was rolled back, or was of temporary objects alone. */
  passTurn(participant: Participant): void {
    if (this.#quietFor.delete(participant) && this.#quietFor.size === 0) this.#letGoOn();
    this.#turns.pass(participant);
  }

  /** It is decided: the others go on. */
  decided(): void {
    this.#quietFor.clear();
    this.#letGoOn();
  }

  #letGoOn(): void {
    void this.#host.peers.ask('writer.quiet', { forMs: 0 }, QUIET_MS);
  }

  #has(writer: WriterId, upTo: Lsn): boolean {
    return this.#host.hasAll() && at(this.#host.log.reached, writer) >= upTo;
  }

  /** For the primary: proposes nothing for so long, and says how far its own transactions go. 0: it may go on. */
  async beQuiet(forMs: number): Promise<{ writer: WriterId; upTo: Lsn }> {
    const { writer, log, changes } = this.#host;
    const end = performance.now() + forMs;
    this.#quietUntil = end;
    changes.tell();
    while (log.inFlight > 0 && performance.now() < end) await changes.next();
    return { writer, upTo: at(log.reached, writer) };
  }

  /**
   * Why one is refused here. The primary is asked where its clients connect: it may have come, or have moved to another port, after this
   * process began; and where it has just begun, the two may not know each other yet.
   */
  async notThePrimary(): Promise<RefusedCommit> {
    const { log, peers } = this.#host;
    const message = 'definitions are changed through the primary writer';
    for (const end = performance.now() + ASK_URL_MS; ; await delay(ASK_AGAIN_MS)) {
      const { primary } = log;
      const answers = primary ? await peers.ask('writer.status', {}, ASK_URL_MS) : [];
      const answer = answers.find((one) => one?.id === primary?.writer);
      if (!answer && performance.now() < end) continue;
      const who = primary ? `writer ${labelOf(primary.writer)}` : 'nobody, at the moment';
      const url = answer?.url ?? null;
      return { sqlstate: '0A000', message, hint: `That is ${who}${url === null ? '.' : `: ${url}`}` };
    }
  }
}
