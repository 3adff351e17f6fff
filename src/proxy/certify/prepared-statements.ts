/**
 * What the session's prepared statements are, for as long as the engine has them: of one whose text is forgotten it would not be known
 * that it is a BEGIN or a COMMIT. Of each is kept what it means, not its text; the engine keeps far more.
 *
 *   Parse, Close ─ ahead ─ its completion ─▶ known        ahead ─ skipped, or failed ─▶ never was
 *
 * A process that takes the session over inherits them (certifier.ts, CertifierImage). Those of SQL's PREPARE are not known; they may
 * write.
 */
import type { Dropped, Statement } from './statements.js';

export interface Prepared {
  readonly statement: Statement;
  /** It asks what became of a transaction. */
  readonly asks: boolean;
}

export class PreparedStatements {
  readonly #known = new Map<string, Prepared>();
  /** Sent, or to be sent, and not answered yet; null: it is closed. */
  readonly #ahead = new Map<string, Prepared | null>();

  get(name: string): Prepared | null {
    const ahead = this.#ahead.get(name);
    return ahead === undefined ? (this.#known.get(name) ?? null) : ahead;
  }

  get size(): number {
    return this.#known.size + this.#ahead.size;
  }

  /** Its Parse comes next. What is returned is to be called when the engine has it. */
  parse(name: string, prepared: Prepared): () => void {
    return this.#change(name, prepared);
  }

  /** Its Close comes next; as `parse`. */
  close(name: string): () => void {
    return this.#change(name, null);
  }

  #change(name: string, to: Prepared | null): () => void {
    this.#ahead.set(name, to);
    return () => {
      if (to) this.#known.set(name, to);
      else this.#known.delete(name);
      if (this.#ahead.get(name) === to) this.#ahead.delete(name);
    };
  }

  /** Between two batches. */
  save(): ReadonlyMap<string, Prepared> {
    return new Map(this.#known);
  }

  restore(known: ReadonlyMap<string, Prepared>): void {
    for (const [name, prepared] of known) this.#known.set(name, prepared);
  }

  /** Its batch is over: what the engine has not answered, it did not look at. */
  batchEnded(): void {
    this.#ahead.clear();
  }

  /** By DEALLOCATE or DISCARD. The unnamed one is none of those that they know. */
  drop(which: Dropped): void {
    if (typeof which === 'object') this.#known.delete(which.name);
    else for (const name of this.#known.keys()) if (name !== '') this.#known.delete(name);
  }
}
