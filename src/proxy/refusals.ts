/**
 * Would the engine let a session in anew? A session lives on when its role loses LOGIN, or its database is closed to it; its
 * move needs another login. Asked for by `check`, once for all sessions that logged in alike.
 */
import type { EngineAdmin } from './engine-admin.js';
import type { SessionIdentity } from './session.js';

export class Refusals {
  readonly #admin: () => EngineAdmin;
  readonly #known = new Map<string, Promise<string | null>>();

  /** `admin`: of the engine that is the primary at the moment. */
  constructor(admin: () => EngineAdmin) {
    this.#admin = admin;
  }

  /** Completes "session 7 …"; null: it would be let in. */
  of({ user, database }: Pick<SessionIdentity, 'user' | 'database'>): Promise<string | null> {
    const key = JSON.stringify([user, database]);
    let refusal = this.#known.get(key);
    if (!refusal) {
      refusal = this.#admin()
        .whyRefused(user, database)
        .then((reason) => (reason === null ? null : `could not log in again: ${reason}`));
      this.#known.set(key, refusal);
    }
    return refusal;
  }
}
