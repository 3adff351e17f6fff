/**
 * The stream of every writer as somebody knows it: facts come in any order, and are taken in the writer's order.
 *
 * Each fact names the LSN that its writer gave out before it, so that a gap is told apart from something that is missing. Where a
 * writer was restarted a closing bridges what its former incarnation left.
 */
import type { Closing } from './decision.js';
import { lsn, type Lsn, type WriterId, writerOf } from './lsn.js';
import { type Fact, lsnOf, previousOf } from './messages.js';
import { at, includes, type Vector } from './vector.js';

/** What comes next in a writer's stream. */
export type Next =
  { readonly kind: 'fact'; readonly fact: Fact } | { readonly kind: 'void'; readonly upTo: Lsn };

export class Streams {
  #reached: Vector;
  readonly #ahead = new Map<Lsn, Fact>();
  /** By writer, since two ranges may begin at one LSN: what follows on what. */
  readonly #successors = new Map<WriterId, Map<Lsn, Lsn>>();
  #closings: Closing[] = [];

  constructor(reached: Vector = {}) {
    this.#reached = reached;
  }

  /** Taken without a gap. */
  get reached(): Vector {
    return this.#reached;
  }

  get closings(): readonly Closing[] {
    return this.#closings;
  }

  add(fact: Fact): void {
    const what = lsnOf(fact);
    if (includes(this.#reached, what)) return;
    this.#ahead.set(what, fact);
    const successors = this.#successors.get(writerOf(what)) ?? new Map<Lsn, Lsn>();
    this.#successors.set(writerOf(what), successors.set(previousOf(fact), what));
  }

  close(closing: Closing): void {
    this.#closings.push(closing);
  }

  peek(writer: WriterId): Next | null {
    const reached = at(this.#reached, writer);
    const closing = this.#closings.find(
      (one) => one.writer === writer && one.after <= reached && reached < one.from - 1,
    );
    if (!closing) return this.#fact(this.#successors.get(writer)?.get(reached));
    const commit = closing.commits.find((one) => one > reached);
    return commit === undefined ? { kind: 'void', upTo: lsn(closing.from - 1) } : this.#fact(commit);
  }

  take(writer: WriterId, next: Next): void {
    if (next.kind === 'fact') return this.#moveTo(writer, lsnOf(next.fact));
    this.#moveTo(writer, next.upTo);
    for (const [what, fact] of this.#ahead) if (includes(this.#reached, what)) this.#forget(fact);
  }

  /** What is up to there is needed no more. */
  skipTo(vector: Vector): void {
    for (const [writer, upTo] of Object.entries(vector)) {
      if (upTo > at(this.#reached, Number(writer))) this.#moveTo(Number(writer), upTo);
    }
    this.#closings = this.#closings.filter(({ writer, from }) => from - 1 > at(vector, writer));
    for (const [what, fact] of this.#ahead) if (includes(this.#reached, what)) this.#forget(fact);
  }

  #fact(what: Lsn | undefined): Next | null {
    const fact = what === undefined ? undefined : this.#ahead.get(what);
    return fact ? { kind: 'fact', fact } : null;
  }

  #moveTo(writer: WriterId, upTo: Lsn): void {
    this.#reached = { ...this.#reached, [writer]: upTo };
    const fact = this.#ahead.get(upTo);
    if (fact) this.#forget(fact);
  }

  #forget(fact: Fact): void {
    this.#ahead.delete(lsnOf(fact));
    this.#successors.get(writerOf(lsnOf(fact)))?.delete(previousOf(fact));
  }

  /** Writers of which anything is known. */
  writers(): Set<WriterId> {
    const known = new Set(this.#closings.map(({ writer }) => writer));
    for (const what of this.#ahead.keys()) known.add(writerOf(what));
    return known;
  }
}
