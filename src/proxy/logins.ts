/**
 * Connections that are no sessions yet: each is a conversation that logs in. What comes beyond MAX_LOGINS waits for its turn, unread;
 * what comes beyond that, too, is told so at once. A connection that is closed with something unread is reset by the kernel, and
 * its client never learns why: that is for those alone that nothing is left for.
 *
 *   accept ──▶ logs in ──▶ session, or refused
 *         └──▶ waits ──▶ logs in        (in the order of arrival, no longer than a login may take)
 *         └──▶ turned away, 53300
 *
 * While a successor takes over (handover/), new
 * ones, and those whose client has not said anything, are passed on to it.
 */
import { DbproxyError } from '../errors/index.js';
import { Conversation } from './conversation.js';
import { NOBODY, type Link, type LinkOwner } from './link.js';
import { logIn, refuse, type LoginServices } from './login.js';
import type { RawHandle } from './raw-handle.js';

/** Sockets that may be in the middle of their login at the same time, beyond the sessions. */
export const MAX_LOGINS = 1_000;
/** Sockets that may wait for that. */
export const MAX_WAITING = 1_000;
/** Sockets that may be about to close after they were turned away. */
const MAX_TURNED_AWAY = 500;

/** A connection from which nothing was read. */
export interface NewConnection {
  readonly handle: RawHandle | null;
  readonly open: (owner: LinkOwner) => Link;
  destroy(): void;
}

/** Hands a connection to another process. Throws when that is gone; then nothing was read from the socket. */
export type PassOn = (handle: RawHandle) => Promise<void>;

export class Logins {
  readonly #services: LoginServices;
  readonly #all = new Map<Conversation, Promise<void>>();
  /** Each with the bound of its wait. */
  readonly #waiting = new Map<NewConnection, NodeJS.Timeout>();
  readonly #turnedAway = new Set<Link>();
  readonly #underway = new Set<Promise<unknown>>();
  /** Connections that are on their way to another process. */
  readonly #passing = new Set<Promise<void>>();
  #passOn: PassOn | null = null;

  constructor(services: LoginServices) {
    this.#services = services;
  }

  get size(): number {
    return this.#all.size + this.#waiting.size;
  }

  /** New ones wait for their turn, or are turned away. */
  get areFull(): boolean {
    return this.#all.size >= MAX_LOGINS;
  }

  /** Those that have, or are opening, an engine connection; and questions of a login to the engine. A hold waits for them. */
  get underway(): ReadonlySet<Promise<unknown>> {
    return this.#underway;
  }

  /** It is about to open its engine connection. */
  opensEngine(conversation: Conversation): void {
    const login = this.#all.get(conversation);
    if (login) this.#underway.add(login);
  }

  /** After a hold the connection that the answer comes on may be gone. */
  asksEngine<T>(answer: Promise<T>): Promise<T> {
    const answered = answer.catch(() => undefined).finally(() => this.#underway.delete(answered));
    this.#underway.add(answered);
    return answer;
  }

  accept(connection: NewConnection): void {
    if (!this.#passOn || !connection.handle) {
      this.#takeIn(connection);
      return;
    }
    const passed = this.#passOn(connection.handle).then(
      () => connection.destroy(),
      () => this.#takeIn(connection),
    );
    this.#passing.add(passed);
    void passed.then(() => this.#passing.delete(passed));
  }

  /** From now on new connections go there; null: not any more. */
  redirect(to: PassOn | null): void {
    this.#passOn = to;
  }

  /** Resolves when no connection is between two processes. */
  async redirected(): Promise<void> {
    while (this.#passing.size > 0) await Promise.all(this.#passing);
  }

  /** While redirected: passes on those whose client has not said anything. */
  async redirectSilent(): Promise<void> {
    const passOn = this.#passOn;
    if (!passOn) return;
    for (const connection of [...this.#waiting.keys()].filter(({ handle }) => handle !== null)) {
      this.#noLongerWaits(connection);
      this.accept(connection);
    }
    for (const conversation of this.#all.keys()) await conversation.giveAway(passOn);
  }

  /** Ends all of them with this error. */
  refuse(error: Error): void {
    for (const conversation of this.#all.keys()) {
      refuse(conversation, error);
      conversation.giveUp();
    }
    for (const connection of this.#waiting.keys()) this.#turnAway(connection, error);
  }

  close(): void {
    for (const connection of this.#waiting.keys()) {
      this.#noLongerWaits(connection);
      connection.destroy();
    }
    for (const { link } of this.#all.keys()) link.destroy();
  }

  #takeIn(connection: NewConnection): void {
    if (this.#all.size < MAX_LOGINS) return this.#begin(connection);
    const tooMany = new DbproxyError('DBP_WIRE_TOO_MANY_LOGINS', { limit: MAX_LOGINS });
    if (this.#waiting.size >= MAX_WAITING) return this.#turnAway(connection, tooMany);
    const bound = setTimeout(() => this.#turnAway(connection, tooMany), this.#services.timeoutMs());
    this.#waiting.set(connection, bound);
  }

  #begin(connection: NewConnection): void {
    const conversation = new Conversation(connection.open);
    const login = logIn(conversation, this.#services).finally(() => {
      this.#all.delete(conversation);
      this.#underway.delete(login);
      const [next] = this.#waiting.keys();
      if (!next) return;
      this.#noLongerWaits(next);
      this.#takeIn(next);
    });
    this.#all.set(conversation, login);
  }

  #noLongerWaits(connection: NewConnection): void {
    clearTimeout(this.#waiting.get(connection));
    this.#waiting.delete(connection);
  }

  #turnAway(connection: NewConnection, error: Error): void {
    this.#noLongerWaits(connection);
    this.#services.loginFailed();
    if (this.#turnedAway.size >= MAX_TURNED_AWAY) return connection.destroy();
    const link = connection.open({
      ...NOBODY,
      ended: () => link.destroy(),
      closed: () => this.#turnedAway.delete(link),
    });
    this.#turnedAway.add(link);
    refuse({ link }, error);
  }
}
