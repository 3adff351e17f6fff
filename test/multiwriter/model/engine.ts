/** An engine as the model knows it: the transactions that took effect, of which a crash takes back what was not flushed. */
import type { Lsn, Proposal, Vector } from '../../../src/multiwriter/protocol/index.js';
import { fail, type Observer } from './invariants.js';

export class Engine {
  #log: { readonly proposal: Proposal; readonly reached: Vector }[] = [];
  #flushed = 0;
  readonly #has = new Set<Lsn>();
  readonly #writer: number;
  readonly #observer: Observer;

  constructor(writer: number, observer: Observer) {
    this.#writer = writer;
    this.#observer = observer;
  }

  get applied(): ReadonlySet<Lsn> {
    return this.#has;
  }

  /** What would be there after a crash now: up to here nothing of any stream is missing. */
  get flushedVector(): Vector {
    return this.#log[this.#flushed - 1]?.reached ?? {};
  }

  /** `reached`: what was applied without a gap before this. The marker's key keeps it from being applied twice. */
  apply(proposal: Proposal, reached: Vector, isOwn: boolean): void {
    if (this.#has.has(proposal.lsn)) {
      if (isOwn)
        fail('applied exactly once', `${proposal.lsn} commits on writer ${this.#writer}, which has it`);
      return;
    }
    this.#has.add(proposal.lsn);
    this.#log.push({ proposal, reached });
    this.#observer.applied(this.#writer, proposal);
  }

  flush(): void {
    this.#flushed = this.#log.length;
  }

  /** Keeps what was flushed, and `more` of the rest. */
  crash(more: (upTo: number) => number): void {
    const kept = this.#flushed + more(this.#log.length - this.#flushed + 1);
    for (const { proposal } of this.#log.splice(kept)) this.#has.delete(proposal.lsn);
    this.flush();
    this.#observer.forget(
      this.#writer,
      this.#log.map(({ proposal }) => proposal),
    );
  }

  /** For each key who wrote it last: what a checksum over the tables would tell. */
  contents(): string {
    const last = new Map<string, Lsn>();
    for (const { proposal } of this.#log)
      for (const { key, mode } of proposal.keys) if (mode !== 'shared') last.set(key, proposal.lsn);
    return [...last]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, lsn]) => `${key}=${lsn}`)
      .join(' ');
  }
}
