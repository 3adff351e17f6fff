/**
 * Connections that are no sessions yet: each is a conversation that logs in. While a successor takes over (handover/), new
 * ones, and those whose client has not said anything, are passed on to it.
 */
import { Conversation } from './conversation.js';
import type { Link, LinkOwner } from './link.js';
import { logIn, refuse, type LoginServices } from './login.js';
import type { RawHandle } from './raw-handle.js';

/** Sockets that may be in the middle of their login at the same time, beyond the sessions. */
export const MAX_LOGINS = 1_000;

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
  readonly #underway = new Set<Promise<unknown>>();
  /** Connections that are on their way to another process. */
  readonly #passing = new Set<Promise<void>>();
  #passOn: PassOn | null = null;

  constructor(services: LoginServices) {
    this.#services = services;
  }

  get size(): number {
    return this.#all.size;
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
      this.#begin(connection);
      return;
    }
    const passed = this.#passOn(connection.handle).then(
      () => connection.destroy(),
      () => this.#begin(connection),
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
    if (passOn) for (const conversation of this.#all.keys()) await conversation.giveAway(passOn);
  }

  /** Ends all of them with this error. */
  refuse(error: Error): void {
    for (const conversation of this.#all.keys()) {
      refuse(conversation, error);
      conversation.giveUp();
    }
  }

  close(): void {
    for (const { link } of this.#all.keys()) link.destroy();
  }

  #begin(connection: NewConnection): void {
    if (this.#all.size >= MAX_LOGINS) {
      connection.destroy();
      return;
    }
    const conversation = new Conversation(connection.open);
    const login = logIn(conversation, this.#services).finally(() => {
      this.#all.delete(conversation);
      this.#underway.delete(login);
    });
    this.#all.set(conversation, login);
  }
}
