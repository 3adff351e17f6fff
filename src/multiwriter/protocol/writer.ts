/**
 * A writer: proposes its transactions, counts votes, takes the others' transactions in an order that suits all.
 *
 *   opening ─ its incarnation is in the decision log ─▶ catching-up ─ its predecessor is applied ─▶ open
 *
 * `effects` are for its engine: commit or roll back an own transaction, apply one of another. An effect is final.
 */
import { DecisionLog, type Followed, type Outcome, rulingsOf, type Ruling } from './decision.js';
import { LsnAllocator, lsn, NO_LSN, type Lsn, type WriterId } from './lsn.js';
import {
  type Adjudicate,
  type Fact,
  factOf,
  type Facts,
  lsnOf,
  type NodeId,
  type Open,
  type Raise,
  type Refusal,
  type ToNode,
  type ToWriter,
  type Vote,
} from './messages.js';
import { isDue, slowness } from './patience.js';
import type { Proposal } from './proposal.js';
import type { Quorums } from './quorums.js';
import { RULES, type Rules } from './rules.js';
import { Streams } from './stream.js';
import { at, isWithin, type Vector } from './vector.js';

/** Votes that have not come after so many ticks are asked for again. */
const PATIENCE_TICKS = 1;
/** And then the primary is asked, too. */
const ASK_TICKS = 2;

export type WriterSend =
  | { readonly to: 'nodes'; readonly message: ToNode }
  /** Any one node, in turn. */
  | { readonly to: 'a-node'; readonly message: ToNode }
  | { readonly to: 'primary'; readonly message: Adjudicate | Open | Raise };

export type Effect =
  /** An own transaction, decided: the engine commits or rolls back, then the client hears of it. */
  | {
      readonly kind: 'decided';
      readonly proposal: Proposal;
      readonly outcome: Outcome;
      readonly ruling: Ruling | null;
    }
  /** A transaction of another writer, or of this one before it was restarted. */
  | { readonly kind: 'apply'; readonly proposal: Proposal }
  | { readonly kind: 'opened'; readonly incarnation: number }
  /** A newer incarnation exists: this one must stop. */
  | { readonly kind: 'fenced' }
  /** What it lacks nobody has any more: it must stop, and its engine be built again. */
  | { readonly kind: 'left-behind' };

export interface WriterOutput {
  readonly sends: readonly WriterSend[];
  readonly effects: readonly Effect[];
}

/** What a transaction brings along; the writer adds its place. */
export type Submission = Pick<Proposal, 'base' | 'keys' | 'payload' | 'retries' | 'priority'>;

interface InFlight {
  readonly proposal: Proposal;
  readonly accepted: Set<NodeId>;
  readonly refused: Map<NodeId, Refusal>;
  ticks: number;
}

export class Writer {
  readonly id: WriterId;
  readonly incarnation: number;
  readonly #quorums: Quorums;
  readonly #writers: readonly WriterId[];
  readonly #streams: Streams;
  readonly #rules: Rules;
  readonly #log = new DecisionLog();
  readonly #inFlight = new Map<Lsn, InFlight>();
  /** Own transactions that the engine has, ahead of their turn in the stream. */
  readonly #ownDone = new Set<Lsn>();
  readonly #rulings = new Map<Lsn, Ruling>();
  #allocator: LsnAllocator | null = null;
  #previous: Lsn = NO_LSN;
  #state: 'opening' | 'catching-up' | 'open' | 'fenced' = 'opening';
  #sends: WriterSend[] = [];
  #effects: Effect[] = [];

  /**
   * `incarnation`: higher than any this writer had. `reached`: what its engine has applied of each stream, without a gap; what it
   * has beyond that, the engine recognises when it is told to apply it again. `writers`: all that there are or will be.
   */
  constructor(
    id: WriterId,
    incarnation: number,
    quorums: Quorums,
    reached: Vector = {},
    writers: readonly WriterId[] = [id],
    rules: Rules = RULES,
  ) {
    this.id = id;
    this.incarnation = incarnation;
    this.#quorums = quorums;
    this.#writers = writers;
    this.#streams = new Streams(reached);
    this.#rules = rules;
  }

  get state(): 'opening' | 'catching-up' | 'open' | 'fenced' {
    return this.#state;
  }
  /** The base of a transaction that begins now. */
  get reached(): Vector {
    return this.#streams.reached;
  }
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Proposes a transaction whose statements are done. Null: not now (not open, or below the ceiling no LSN is left). */
  submit(submission: Submission): { lsn: Lsn; output: WriterOutput } | null {
    const place = this.#state === 'open' ? (this.#allocator?.take() ?? null) : null;
    if (place === null) return null;
    const { incarnation } = this;
    const proposal: Proposal = { ...submission, lsn: place, previous: this.#previous, incarnation };
    this.#previous = place;
    this.#inFlight.set(place, { proposal, accepted: new Set(), refused: new Map(), ticks: 0 });
    this.#toNodes({ kind: 'propose', proposal });
    return { lsn: place, output: this.#output() };
  }

  receive(message: ToWriter): WriterOutput {
    if (message.kind === 'vote') this.#count(message);
    else this.#learn(message);
    return this.#output();
  }

  /** Time has passed: ask again for what is missing. `horizon`: no transaction will have a base below it. */
  tick(horizon: Vector): WriterOutput {
    if (this.#state === 'opening') {
      this.#toPrimary({ kind: 'open', writer: this.id, incarnation: this.incarnation });
    }
    for (const one of this.#inFlight.values()) {
      if (++one.ticks <= PATIENCE_TICKS) continue;
      this.#toNodes({ kind: 'propose', proposal: one.proposal });
      // Where a quorum has voted already, it is not the way that is slow.
      const factor = one.accepted.size >= this.#quorums.classic ? 1 : slowness(one.proposal);
      if (isDue(one.ticks, ASK_TICKS * factor))
        this.#toPrimary({ kind: 'adjudicate', proposal: one.proposal });
    }
    if (this.#allocator?.runsLow) {
      this.#toPrimary({ kind: 'raise', ceiling: this.#log.summary.ceiling });
    }
    this.#sends.push({
      to: 'a-node',
      message: { kind: 'fetch', after: this.reached, slot: this.#log.summary.slot },
    });
    if (this.#state === 'open')
      this.#toNodes({ kind: 'horizon', writer: this.id, vector: horizon, writers: this.#writers });
    return this.#output();
  }

  // --- votes ---------------------------------------------------------------------------------------------------------

  #count({ lsn: about, node, refusal }: Vote): void {
    const one = this.#inFlight.get(about);
    if (!one || one.accepted.has(node)) return;
    if (refusal) return this.#refused(one, node, refusal);
    one.accepted.add(node);
    one.refused.delete(node);
    one.ticks = 0;
    if (one.accepted.size < this.#quorums.fast) return;
    this.#toNodes({ kind: 'committed', lsn: about });
    this.#take([factOf(one.proposal, 'commit')]);
  }

  #refused(one: InFlight, node: NodeId, refusal: Refusal): void {
    const couldPass = (): boolean => one.refused.size <= this.#quorums.nodes - this.#quorums.fast;
    const could = couldPass();
    one.refused.set(node, refusal);
    if (refusal.kind === 'fenced') this.#fence();
    // The fast quorum is out of reach: ask at once, and once.
    else if (could && !couldPass()) this.#toPrimary({ kind: 'adjudicate', proposal: one.proposal });
  }

  // --- facts ---------------------------------------------------------------------------------------------------------

  #learn({ facts: heard, decisions, truncated }: Facts): void {
    for (const { slot, decision } of decisions) {
      for (const followed of this.#log.learn(slot, decision)) this.#follow(followed);
    }
    this.#take(heard);
    if (!isWithin(truncated, this.reached)) this.#end({ kind: 'left-behind' });
  }

  #follow({ decision, summary: { ceiling } }: Followed): void {
    for (const ruling of rulingsOf(decision)) {
      const one = this.#inFlight.get(ruling.lsn);
      if (!one) continue;
      this.#rulings.set(ruling.lsn, ruling);
      this.#take([factOf(one.proposal, ruling.outcome)]);
    }
    this.#allocator?.raise(ceiling);
    if (decision.kind !== 'open') return;
    const { closing, incarnation } = decision;
    this.#streams.close(closing);
    if (closing.writer === this.id) this.#opened(incarnation, closing.from, ceiling);
    this.#applyInOrder();
  }

  #opened(incarnation: number, from: Lsn, ceiling: Lsn): void {
    if (incarnation > this.incarnation) return this.#fence();
    if (incarnation < this.incarnation || this.#state !== 'opening') return;
    this.#allocator = new LsnAllocator(this.id, from, ceiling);
    for (const foreign of Object.values(this.reached)) this.#allocator.observe(foreign);
    this.#previous = lsn(from - 1);
    this.#state = 'catching-up';
  }

  #fence(): void {
    this.#end({ kind: 'fenced' });
  }

  #end(why: Extract<Effect, { kind: 'fenced' | 'left-behind' }>): void {
    if (this.#state === 'fenced') return;
    this.#state = 'fenced';
    this.#effects.push(why);
  }

  #take(heard: readonly Fact[]): void {
    for (const fact of heard) {
      this.#decideOwn(fact);
      this.#streams.add(fact);
    }
    this.#applyInOrder();
  }

  /** Own transactions wait for nobody's turn: the engine holds their locks. */
  #decideOwn(fact: Fact): void {
    const one = this.#inFlight.get(lsnOf(fact));
    if (!one) return;
    const { proposal } = one;
    this.#inFlight.delete(proposal.lsn);
    this.#ownDone.add(proposal.lsn);
    const ruling = this.#rulings.get(proposal.lsn) ?? null;
    this.#rulings.delete(proposal.lsn);
    this.#effects.push({ kind: 'decided', proposal, outcome: fact.outcome, ruling });
  }

  /** Each writer's stream in its order, and nothing before what it had seen. */
  #applyInOrder(): void {
    for (let progress = true; progress;) {
      progress = false;
      for (const writer of this.#streams.writers()) {
        const next = this.#streams.peek(writer);
        if (!next || (next.kind === 'fact' && !this.#isReady(next.fact))) continue;
        this.#streams.take(writer, next);
        if (writer !== this.id) this.#allocator?.observe(at(this.reached, writer));
        if (next.kind === 'fact') this.#apply(next.fact);
        progress = true;
      }
    }
    if (this.#state === 'catching-up' && at(this.reached, this.id) >= this.#previous) {
      this.#state = 'open';
      this.#effects.push({ kind: 'opened', incarnation: this.incarnation });
    }
  }

  #isReady(fact: Fact): boolean {
    return fact.outcome === 'abort' || this.#rules.mayApply(fact.proposal, this.reached);
  }

  #apply(fact: Fact): void {
    const isDone = this.#ownDone.delete(lsnOf(fact));
    if (fact.outcome === 'commit' && !isDone) this.#effects.push({ kind: 'apply', proposal: fact.proposal });
  }

  // --- output --------------------------------------------------------------------------------------------------------

  #toNodes(message: ToNode): void {
    this.#sends.push({ to: 'nodes', message });
  }

  #toPrimary(message: Adjudicate | Open | Raise): void {
    this.#sends.push({ to: 'primary', message });
  }

  #output(): WriterOutput {
    const output = { sends: this.#sends, effects: this.#effects };
    this.#sends = [];
    this.#effects = [];
    return output;
  }
}
