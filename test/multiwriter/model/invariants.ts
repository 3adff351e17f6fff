/** What must hold at every step of the model, whatever the schedule. Each is named; a mutant has to break one of them. */
import type {
  AdjudicatorEvent,
  Fact,
  Lsn,
  NodeId,
  Outcome,
  Proposal,
  Vector,
} from '../../../src/multiwriter/protocol/index.js';
import { commonKey, includes, lsnOf, proposerOf, writerOf } from '../../../src/multiwriter/protocol/index.js';
import { isVoid } from '../../../src/multiwriter/protocol/decision.js';
import type { Chosen, FromNode } from '../../../src/multiwriter/protocol/messages.js';

export type Invariant =
  | 'decided is never undone'
  | 'one winner per key version'
  | 'an acknowledged commit is never lost'
  | 'a global read waits for what was acknowledged'
  | 'one decision per slot'
  | 'one primary per epoch'
  | 'a promised epoch holds'
  | 'one order on all writers'
  | 'applied exactly once'
  | 'LSN ranges never overlap'
  | 'LSN order extends causal order'
  | 'comes to rest'
  | 'whoever comes back finds what it lacks'
  | 'all writers converge'
  | 'the log alone rebuilds them';

export class Violation extends Error {
  readonly invariant: Invariant;
  constructor(invariant: Invariant, what: string) {
    super(`${invariant}: ${what}`);
    this.invariant = invariant;
  }
}

const fail = (invariant: Invariant, what: string): never => {
  throw new Violation(invariant, what);
};

/** Sees everything that is said and done. */
export class Observer {
  readonly outcomes = new Map<Lsn, Outcome>();
  readonly acknowledged = new Set<Lsn>();
  readonly proposals = new Map<Lsn, Proposal>();
  readonly #decisions = new Map<number, string>();
  readonly #epochs = new Map<number, string>();
  readonly #promised = new Map<NodeId, number>();
  readonly #lastAcknowledged = new Map<number, Lsn>();
  readonly #lastLsn = new Map<number, Lsn>();
  readonly #committedByKey = new Map<string, Proposal[]>();
  /** The order in which conflicting transactions were applied, by key and then by writer. */
  readonly #orders = new Map<string, Map<number, Lsn[]>>();
  decided = 0;

  proposed(proposal: Proposal): void {
    const { lsn } = proposal;
    const writer = proposerOf(proposal);
    if (this.proposals.has(lsn)) fail('LSN ranges never overlap', `${lsn} was given out twice`);
    if (lsn <= (this.#lastLsn.get(writer) ?? 0))
      fail('LSN ranges never overlap', `${lsn} is behind writer ${writer}`);
    for (const seen of Object.values(proposal.base)) {
      if (writerOf(seen) !== writer && seen >= lsn)
        fail('LSN order extends causal order', `${lsn} has seen ${seen}`);
    }
    this.#lastLsn.set(writer, lsn);
    this.proposals.set(lsn, proposal);
  }

  fact(fact: Fact): void {
    const lsn = lsnOf(fact);
    this.outcome(lsn, fact.outcome);
  }

  outcome(lsn: Lsn, outcome: Outcome): void {
    const before = this.outcomes.get(lsn);
    if (before === outcome) return;
    if (before) {
      const lost = this.acknowledged.has(lsn) && outcome === 'abort';
      fail(
        lost ? 'an acknowledged commit is never lost' : 'decided is never undone',
        `${lsn}: ${before}, then ${outcome}`,
      );
    }
    this.outcomes.set(lsn, outcome);
    this.decided++;
    const proposal = this.proposals.get(lsn);
    if (outcome === 'commit' && proposal) this.#certify(proposal);
  }

  acknowledge(proposal: Proposal, outcome: Outcome): void {
    this.outcome(proposal.lsn, outcome);
    if (outcome !== 'commit') return;
    const { lsn } = proposal;
    this.acknowledged.add(lsn);
    const writer = proposerOf(proposal);
    if (lsn > (this.#lastAcknowledged.get(writer) ?? 0)) this.#lastAcknowledged.set(writer, lsn);
  }

  chosen({ slot, decision }: Chosen): void {
    const text = JSON.stringify(decision);
    const before = this.#decisions.get(slot);
    if (before !== undefined && before !== text)
      fail('one decision per slot', `${slot}: ${before}, then ${text}`);
    this.#decisions.set(slot, text);
    if (decision.kind === 'verdict' || decision.kind === 'open') {
      for (const { lsn, outcome } of decision.rulings) this.outcome(lsn, outcome);
    }
    if (decision.kind === 'open') {
      for (const lsn of this.proposals.keys()) if (isVoid(decision.closing, lsn)) this.outcome(lsn, 'abort');
    }
  }

  event(who: string, event: AdjudicatorEvent): void {
    if (event.kind === 'leads') {
      const other = this.#epochs.get(event.epoch) ?? who;
      if (other !== who) fail('one primary per epoch', `${event.epoch}: ${other} and ${who}`);
      this.#epochs.set(event.epoch, who);
    } else if (event.kind === 'decided') {
      this.chosen(event);
    }
  }

  /** A message of a node: what it says about epochs binds it. */
  said(node: NodeId, message: FromNode): void {
    const promised = this.#promised.get(node) ?? 0;
    switch (message.kind) {
      case 'promise':
      case 'sealed':
      case 'decision-accepted':
        if (message.epoch < promised)
          fail('a promised epoch holds', `${node} answers epoch ${message.epoch} after ${promised}`);
        this.#promised.set(node, message.epoch);
        break;
      case 'outranked':
      case 'vote':
      case 'facts':
      case 'frontier':
        break;
    }
  }

  /** What the nodes that run would answer to a survey: any `classic` of them together must name what was acknowledged. */
  frontiers(frontiers: readonly Vector[], classic: number): void {
    for (const [writer, lsn] of this.#lastAcknowledged) {
      const without = frontiers.filter((frontier) => !includes(frontier, lsn));
      if (without.length >= classic)
        fail(
          'a global read waits for what was acknowledged',
          `${lsn} of writer ${writer}: ${without.length} nodes would answer without it`,
        );
    }
  }

  /** A transaction takes effect on a writer's engine, for the first time or again after a crash. */
  applied(writer: number, proposal: Proposal): void {
    for (const { key, mode } of proposal.keys) {
      if (mode === 'shared') continue;
      const orders = this.#orders.get(key) ?? new Map<number, Lsn[]>();
      this.#orders.set(key, orders);
      const own = orders.get(writer) ?? [];
      orders.set(writer, own);
      own.push(proposal.lsn);
      const longest = [...orders.values()].reduce((a, b) => (b.length > a.length ? b : a));
      const differs = own.findIndex((lsn, i) => longest[i] !== lsn);
      if (differs >= 0)
        fail(
          'one order on all writers',
          `${key}: ${own.join()} on writer ${writer}, ${longest.join()} on another`,
        );
    }
  }

  /** A crash took this much from the engine. */
  forget(writer: number, kept: readonly Proposal[]): void {
    for (const orders of this.#orders.values()) orders.delete(writer);
    for (const proposal of kept) this.applied(writer, proposal);
  }

  /** Among committed transactions that use a key, one of each two has seen the other. */
  #certify(proposal: Proposal): void {
    for (const { key } of proposal.keys) {
      const others = this.#committedByKey.get(key) ?? [];
      this.#committedByKey.set(key, others);
      for (const other of others) {
        const isOrdered = includes(proposal.base, other.lsn) || includes(other.base, proposal.lsn);
        if (proposerOf(other) !== proposerOf(proposal) && !isOrdered && commonKey(proposal, other) !== null)
          fail('one winner per key version', `${key}: ${other.lsn} and ${proposal.lsn} both commit`);
      }
      others.push(proposal);
    }
  }
}

export { fail };
