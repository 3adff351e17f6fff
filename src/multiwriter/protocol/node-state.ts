/**
 * What a storage node knows: the fold of the records in its log. Nothing else changes it, so that a restarted node, which reads
 * its log, is the node that wrote it.
 */
import { type Decision, DecisionLog, isVoid, type Outcome, rulingsOf, type Summary } from './decision.js';
import { KeyTable } from './key-table.js';
import type { Lsn, WriterId } from './lsn.js';
import { writerOf } from './lsn.js';
import { type Accepted, type Chosen, type Epoch, type Fact, factOf, lsnOf } from './messages.js';
import type { Proposal } from './proposal.js';
import { Streams } from './stream.js';
import { highest, includes, type Vector } from './vector.js';

/** One entry of a node's log. A message that depends on it is sent when it is on disk. */
export type NodeRecord =
  | { readonly kind: 'vote'; readonly proposal: Proposal }
  | {
      readonly kind: 'seal';
      readonly epoch: Epoch;
      /** Those not held before. */
      readonly proposals: readonly Proposal[];
      readonly lsns: readonly Lsn[];
      readonly fence: { readonly writer: WriterId; readonly incarnation: number } | null;
    }
  | { readonly kind: 'promise'; readonly epoch: Epoch }
  | ({ readonly kind: 'accept' } & Accepted)
  | ({ readonly kind: 'chosen' } & Chosen)
  | { readonly kind: 'fact'; readonly fact: Fact }
  /** The same, of a transaction whose rows are held: they are not written twice. */
  | { readonly kind: 'outcome'; readonly lsn: Lsn; readonly outcome: Outcome }
  | { readonly kind: 'truncate'; readonly below: Vector }
  /** Stands for all records before it; see `snapshot`. */
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot };

export interface Entry {
  /** Null: its outcome is known, its rows are not. */
  proposal: Proposal | null;
  accepted: boolean;
  sealed: boolean;
  outcome: Outcome | null;
}

export interface Snapshot {
  readonly promised: Epoch;
  readonly entries: readonly (readonly [Lsn, Entry])[];
  readonly facts: readonly Fact[];
  readonly reached: Vector;
  readonly truncated: Vector;
  readonly fences: Readonly<Record<WriterId, number>>;
  readonly accepted: readonly Accepted[];
  readonly summary: Summary;
  readonly chosen: readonly Chosen[];
  readonly closings: Streams['closings'];
}

export class NodeState {
  readonly entries = new Map<Lsn, Entry>();
  readonly undecided = new Map<Lsn, Proposal>();
  readonly keys = new KeyTable();
  readonly accepted = new Map<number, Accepted>();
  #fences: Readonly<Record<WriterId, number>> = {};
  #facts = new Map<Lsn, Fact>();
  #streams = new Streams();
  #log = new DecisionLog();
  #promised: Epoch = 0;
  #truncated: Vector = {};

  get promised(): Epoch {
    return this.#promised;
  }
  get truncated(): Vector {
    return this.#truncated;
  }
  /** The decided part of each writer's stream, without a gap. */
  get reached(): Vector {
    return this.#streams.reached;
  }
  get log(): DecisionLog {
    return this.#log;
  }
  get facts(): ReadonlyMap<Lsn, Fact> {
    return this.#facts;
  }
  /** Slots above those that are known without a gap, chosen or only accepted. */
  get openSlots(): Accepted[] {
    const { slot: known } = this.#log.summary;
    const chosen = this.#log
      .after(known)
      // It outranks whatever else was accepted for that slot.
      .map(({ slot, decision }): Accepted => ({ slot, epoch: Number.MAX_SAFE_INTEGER, decision }));
    return [...this.accepted.values(), ...chosen].filter(({ slot }) => slot > known);
  }
  fence(writer: WriterId): number {
    return this.#fences[writer] ?? 0;
  }

  /** Applies a record; returns what it made known. */
  apply(record: NodeRecord): Fact[] {
    switch (record.kind) {
      case 'vote':
        this.#hold(record.proposal, { accepted: true });
        return [];
      case 'seal': {
        this.#promised = Math.max(this.#promised, record.epoch);
        for (const proposal of record.proposals) this.#hold(proposal, {});
        for (const sealed of record.lsns) {
          const entry = this.entries.get(sealed);
          if (entry) entry.sealed = true;
        }
        if (record.fence) this.#raiseFence(record.fence.writer, record.fence.incarnation);
        return [];
      }
      case 'promise':
        this.#promised = record.epoch;
        return [];
      case 'accept': {
        const { slot, epoch, decision } = record;
        this.#promised = Math.max(this.#promised, epoch);
        this.accepted.set(slot, { slot, epoch, decision });
        return [];
      }
      case 'chosen': {
        const made: Fact[] = [];
        for (const { decision } of this.#log.learn(record.slot, record.decision))
          made.push(...this.#execute(decision));
        for (const slot of this.accepted.keys())
          if (slot <= this.#log.summary.slot) this.accepted.delete(slot);
        return made;
      }
      case 'fact':
        return this.#learn(record.fact);
      case 'outcome':
        return this.#settle(record.lsn, record.outcome);
      case 'truncate':
        this.#truncate(record.below);
        return [];
      case 'snapshot':
        this.#restore(record.snapshot);
        return [];
    }
  }

  /** The outcome of a transaction, as far as it is known here; closings decide about LSNs that were never seen, too. */
  outcomeOf(lsn: Lsn): Outcome | null {
    const known = this.entries.get(lsn)?.outcome;
    if (known) return known;
    return this.#streams.closings.some((closing) => isVoid(closing, lsn)) ? 'abort' : null;
  }

  /** Everything at once, to begin a new log with. */
  snapshot(): Snapshot {
    return {
      promised: this.#promised,
      entries: [...this.entries].map(([lsn, entry]) => [lsn, { ...entry }]),
      facts: [...this.#facts.values()],
      reached: this.reached,
      truncated: this.#truncated,
      fences: this.#fences,
      accepted: [...this.accepted.values()],
      summary: this.#log.summary,
      chosen: this.#log.after(0),
      closings: this.#streams.closings,
    };
  }

  #restore(from: Snapshot): void {
    this.#promised = from.promised;
    this.#truncated = from.truncated;
    this.#fences = from.fences;
    this.#log = DecisionLog.from(from.summary, from.chosen);
    this.#streams = new Streams(from.reached);
    for (const closing of from.closings) this.#streams.close(closing);
    for (const fact of from.facts) {
      this.#facts.set(lsnOf(fact), fact);
      this.#streams.add(fact);
    }
    for (const one of from.accepted) this.accepted.set(one.slot, one);
    for (const [lsn, entry] of from.entries) {
      this.entries.set(lsn, { ...entry });
      if (!entry.proposal) continue;
      if (entry.outcome === 'commit') this.keys.commit(entry.proposal);
      if (entry.outcome === null) this.#wait(entry.proposal);
    }
  }

  #hold(proposal: Proposal, { accepted = false }): void {
    const entry = this.entries.get(proposal.lsn);
    if (entry) {
      entry.accepted ||= accepted;
      entry.proposal ??= proposal;
      return;
    }
    this.entries.set(proposal.lsn, { proposal, accepted, sealed: false, outcome: null });
    this.#wait(proposal);
  }

  #wait(proposal: Proposal): void {
    this.undecided.set(proposal.lsn, proposal);
    this.keys.hold(proposal);
  }

  #raiseFence(writer: WriterId, incarnation: number): void {
    this.#fences = { ...this.#fences, [writer]: Math.max(this.fence(writer), incarnation) };
  }

  #execute(decision: Decision): Fact[] {
    const made = rulingsOf(decision).flatMap(({ lsn, outcome }) => this.#settle(lsn, outcome));
    if (decision.kind !== 'open') return made;
    const { closing, incarnation } = decision;
    this.#raiseFence(closing.writer, incarnation);
    this.#streams.close(closing);
    for (const lsn of [...this.undecided.keys()]) {
      if (isVoid(closing, lsn)) made.push(...this.#settle(lsn, 'abort'));
    }
    this.#takeInOrder();
    return made;
  }

  /** An outcome, of a transaction whose rows may be unknown here. */
  #settle(lsn: Lsn, outcome: Outcome): Fact[] {
    if (includes(this.#truncated, lsn)) return [];
    const entry = this.entries.get(lsn);
    if (!entry) {
      this.entries.set(lsn, { proposal: null, accepted: false, sealed: false, outcome });
      return [];
    }
    if (entry.outcome !== null) return [];
    entry.outcome = outcome;
    return entry.proposal ? this.#make(entry.proposal, outcome) : [];
  }

  /** A fact from elsewhere. */
  #learn(fact: Fact): Fact[] {
    const lsn = lsnOf(fact);
    if (includes(this.#truncated, lsn) || this.#facts.has(lsn)) return [];
    const entry = this.entries.get(lsn) ?? { proposal: null, accepted: false, sealed: false, outcome: null };
    this.entries.set(lsn, entry);
    entry.outcome ??= fact.outcome;
    if (fact.outcome === 'commit') entry.proposal ??= fact.proposal;
    if (entry.proposal) return this.#make(entry.proposal, entry.outcome);
    return this.#publish(fact);
  }

  #make(proposal: Proposal, outcome: Outcome): Fact[] {
    this.undecided.delete(proposal.lsn);
    if (outcome === 'commit') this.keys.commit(proposal);
    else this.keys.release(proposal);
    return this.#publish(factOf(proposal, outcome));
  }

  #publish(fact: Fact): Fact[] {
    this.#facts.set(lsnOf(fact), fact);
    this.#streams.add(fact);
    this.#takeInOrder();
    return [fact];
  }

  #takeInOrder(): void {
    for (const writer of this.#streams.writers()) {
      for (let next = this.#streams.peek(writer); next; next = this.#streams.peek(writer)) {
        this.#streams.take(writer, next);
      }
    }
  }

  #truncate(below: Vector): void {
    this.#truncated = highest(this.#truncated, below);
    this.keys.truncate(this.#truncated);
    for (const [lsn, { proposal }] of this.entries) {
      if (!includes(this.#truncated, lsn)) continue;
      if (proposal && this.undecided.delete(lsn)) this.keys.release(proposal);
      this.entries.delete(lsn);
      this.#facts.delete(lsn);
    }
    this.#streams.skipTo(this.#truncated);
    // What follows on it may be here already.
    this.#takeInOrder();
  }

  /** The committed transactions of a writer above `after`. */
  commitsOf(writer: WriterId, after: Lsn): Lsn[] {
    const found: Lsn[] = [];
    for (const [lsn, { outcome }] of this.entries) {
      if (outcome === 'commit' && writerOf(lsn) === writer && lsn > after) found.push(lsn);
    }
    return found.sort((a, b) => a - b);
  }
}
