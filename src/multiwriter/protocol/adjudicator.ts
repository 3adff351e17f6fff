/**
 * The primary's side: one case after the other, under an epoch.
 *
 *   idle ─ lead ─▶ preparing ─ Qc promises ─▶ inheriting (open slots, re-proposed) ─▶ free ─ work ─▶ sealing ─▶ deciding ─▶ free
 *                        any state ─ a node follows a higher epoch ─▶ idle
 *
 * It keeps nothing on disk: an epoch is led once, and a new one learns from the nodes what was decided and what may have been.
 * No clock and no lease: a primary that was away for an hour is turned away by its epoch.
 */
import {
  type Closing,
  type Decision,
  EMPTY_SUMMARY,
  type Ruling,
  rulingsOf,
  summarise,
  type Summary,
} from './decision.js';
import { judge } from './judge.js';
import { lsn, type Lsn, type WriterId, writerOf } from './lsn.js';
import {
  type Accepted,
  type DecisionAccepted,
  type Epoch,
  type Facts,
  factOf,
  facts,
  type NodeId,
  type Promise,
  type Sealed,
  type ToNode,
  type ToPrimary,
} from './messages.js';
import type { Policy } from './policy.js';
import type { Proposal } from './proposal.js';
import type { Quorums } from './quorums.js';
import { RULES, type Rules } from './rules.js';

export type AdjudicatorSend =
  { readonly to: 'nodes'; readonly message: ToNode } | { readonly to: 'writers'; readonly message: Facts };

/** What the process around it tells people. */
export type AdjudicatorEvent =
  | { readonly kind: 'leads'; readonly epoch: Epoch }
  | { readonly kind: 'deposed'; readonly epoch: Epoch; readonly by: Epoch }
  | {
      readonly kind: 'decided';
      /** Who, where it is not the primary. */
      readonly by?: string;
      readonly epoch: Epoch;
      readonly slot: number;
      readonly decision: Decision;
    };

export interface AdjudicatorOutput {
  readonly sends: readonly AdjudicatorSend[];
  readonly events: readonly AdjudicatorEvent[];
}

type Work =
  | { readonly kind: 'case'; readonly proposal: Proposal }
  | { readonly kind: 'open'; readonly writer: WriterId; readonly incarnation: number }
  | { readonly kind: 'raise'; readonly ceiling: Lsn };

interface Deciding {
  readonly kind: 'deciding';
  readonly slot: number;
  readonly decision: Decision;
  readonly accepted: Set<NodeId>;
  /** Open slots of a former primary that come after this one. */
  readonly inherited: readonly Decision[];
}
interface Sealing {
  readonly kind: 'sealing';
  readonly work: Exclude<Work, { kind: 'raise' }>;
  readonly targets: ReadonlyMap<Lsn, Proposal>;
  readonly round: number;
  readonly replies: Map<NodeId, Sealed>;
}
type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'preparing'; readonly promises: Map<NodeId, Promise> }
  | { readonly kind: 'free' }
  | Sealing
  | Deciding;

export class Adjudicator {
  readonly #quorums: Quorums;
  readonly #policy: Policy;
  readonly #rules: Rules;
  #state: State = { kind: 'idle' };
  #epoch: Epoch = 0;
  #summary: Summary = EMPTY_SUMMARY;
  #round = 0;
  /** The rows of what is being decided, for those who do not have them. */
  #rows: ReadonlyMap<Lsn, Proposal> = new Map();
  readonly #queue = new Map<string, Work>();
  #sends: AdjudicatorSend[] = [];
  #events: AdjudicatorEvent[] = [];

  constructor(quorums: Quorums, policy: Policy, rules: Rules = RULES) {
    this.#quorums = quorums;
    this.#policy = policy;
    this.#rules = rules;
  }

  get isLeading(): boolean {
    return this.#state.kind !== 'idle' && this.#state.kind !== 'preparing';
  }
  get epoch(): Epoch {
    return this.#epoch;
  }

  /** Begins an epoch that nobody else ever had. */
  lead(epoch: Epoch): AdjudicatorOutput {
    this.#epoch = epoch;
    this.#queue.clear();
    this.#state = { kind: 'preparing', promises: new Map() };
    this.#ask();
    return this.#output();
  }

  receive(message: ToPrimary): AdjudicatorOutput {
    switch (message.kind) {
      case 'adjudicate':
        this.#enqueue(String(message.proposal.lsn), { kind: 'case', proposal: message.proposal });
        break;
      case 'open':
        this.#enqueue(`open ${message.writer}`, message);
        break;
      case 'raise':
        this.#enqueue('raise', message);
        break;
      case 'promise':
        this.#promised(message);
        break;
      case 'sealed':
        this.#sealed(message);
        break;
      case 'decision-accepted':
        this.#accepted(message);
        break;
      case 'outranked':
        if (message.epoch > this.#epoch) this.#stepDown(message.epoch);
        break;
    }
    return this.#output();
  }

  /** Time has passed: whatever is being waited for is asked for again. */
  tick(): AdjudicatorOutput {
    this.#ask();
    return this.#output();
  }

  #enqueue(key: string, work: Work): void {
    if (this.#state.kind === 'idle') return;
    if (!this.#queue.has(key)) this.#queue.set(key, work);
    this.#next();
  }

  // --- the way of a case ---------------------------------------------------------------------------------------------

  #promised(promise: Promise): void {
    if (this.#state.kind !== 'preparing' || promise.epoch !== this.#epoch) return;
    const { promises } = this.#state;
    promises.set(promise.node, promise);
    if (promises.size < this.#quorums.classic) return;
    const all = [...promises.values()];
    this.#summary = all.map(({ summary }) => summary).reduce((a, b) => (b.slot > a.slot ? b : a));
    this.#events.push({ kind: 'leads', epoch: this.#epoch });
    this.#inherit(all.flatMap(({ open }) => open));
  }

  /** What may have been chosen is proposed again, before anything else is. */
  #inherit(open: readonly Accepted[]): void {
    const last = Math.max(this.#summary.slot, ...open.map(({ slot }) => slot));
    const inherited: Decision[] = [];
    for (let slot = this.#summary.slot + 1; slot <= last; slot++) {
      const found = this.#rules.inherits(open.filter((one) => one.slot === slot));
      inherited.push(found?.decision ?? { kind: 'nothing' });
    }
    this.#decide(inherited);
  }

  #next(): void {
    if (this.#state.kind !== 'free') return;
    const first = this.#queue.entries().next().value;
    if (!first) return;
    const [key, work] = first;
    this.#queue.delete(key);
    switch (work.kind) {
      case 'case':
        return this.#sealAll(work, new Map([[work.proposal.lsn, work.proposal]]));
      case 'open': {
        const known = this.#summary.incarnations[work.writer] ?? 0;
        return work.incarnation > known ? this.#sealAll(work, new Map()) : this.#next();
      }
      case 'raise':
        return work.ceiling === this.#summary.ceiling ? this.#decide([{ kind: 'raise' }]) : this.#next();
    }
  }

  #sealAll(work: Sealing['work'], targets: Sealing['targets']): void {
    this.#state = { kind: 'sealing', work, targets, round: ++this.#round, replies: new Map() };
    this.#ask();
  }

  #sealed(reply: Sealed): void {
    const state = this.#state;
    if (state.kind !== 'sealing' || reply.epoch !== this.#epoch || reply.round !== state.round) return;
    state.replies.set(reply.node, reply);
    if (state.replies.size < this.#quorums.classic) return;
    const replies = [...state.replies.values()];
    const targets = new Map(state.targets);
    for (const { proposal } of replies.flatMap(({ standings }) => standings))
      targets.set(proposal.lsn, proposal);
    if (!this.#rules.isComplete(targets.size - state.targets.size)) return this.#sealAll(state.work, targets);
    this.#conclude(state, replies);
  }

  #conclude({ work, targets }: Sealing, replies: readonly Sealed[]): void {
    const rulings = judge(targets.values(), replies, {
      quorums: this.#quorums,
      policy: this.#policy,
      rules: this.#rules,
      abandonedBy: work.kind === 'open' ? work.writer : null,
    });
    this.#rows = targets;
    if (work.kind === 'open') return this.#decide([this.#opening(work, rulings, replies)]);
    if (rulings.some(({ reason }) => reason.kind !== 'known')) {
      return this.#decide([{ kind: 'verdict', asked: work.proposal.lsn, rulings }]);
    }
    // It had been decided, and whoever asked does not know.
    this.#publish([], rulings);
    this.#free();
  }

  #opening(
    { writer, incarnation }: Extract<Work, { kind: 'open' }>,
    rulings: readonly Ruling[],
    replies: readonly Sealed[],
  ): Decision {
    const after = lsn(Math.max(...replies.map(({ reached }) => reached)));
    const ruled = rulings.filter(({ outcome }) => outcome === 'commit').map((ruling) => ruling.lsn);
    const commits = [...new Set([...ruled, ...replies.flatMap((reply) => reply.commits)])]
      .filter((one) => writerOf(one) === writer && one > after)
      .sort((a, b) => a - b);
    const closing: Closing = { writer, after, from: this.#rules.beginsAt(this.#summary), commits };
    return { kind: 'open', incarnation, closing, rulings };
  }

  /** Fills the next slots, one after the other. */
  #decide([decision, ...inherited]: readonly Decision[]): void {
    if (!decision) return this.#free();
    const slot = this.#summary.slot + 1;
    this.#state = { kind: 'deciding', slot, decision, accepted: new Set(), inherited };
    this.#ask();
  }

  #accepted({ node, epoch, slot }: DecisionAccepted): void {
    const state = this.#state;
    if (state.kind !== 'deciding' || epoch !== this.#epoch || slot !== state.slot) return;
    state.accepted.add(node);
    if (state.accepted.size < this.#quorums.classic) return;
    const { decision } = state;
    this.#summary = summarise(this.#summary, decision);
    this.#events.push({ kind: 'decided', epoch, slot, decision });
    this.#publish([{ slot, decision }], rulingsOf(decision));
    this.#decide(state.inherited);
  }

  #free(): void {
    this.#state = { kind: 'free' };
    this.#rows = new Map();
    this.#next();
  }

  #stepDown(by: Epoch): void {
    if (this.#state.kind === 'idle') return;
    this.#events.push({ kind: 'deposed', epoch: this.#epoch, by });
    this.#state = { kind: 'idle' };
    this.#queue.clear();
  }

  // --- what is sent --------------------------------------------------------------------------------------------------

  #ask(): void {
    const state = this.#state;
    const epoch = this.#epoch;
    switch (state.kind) {
      case 'idle':
      case 'free':
        return;
      case 'preparing':
        return this.#toNodes({ kind: 'prepare', epoch });
      case 'sealing': {
        const { work, round, targets } = state;
        return this.#toNodes({
          kind: 'seal',
          epoch,
          round,
          slot: this.#summary.slot,
          proposals: [...targets.values()],
          fence: work.kind === 'open' ? { writer: work.writer, incarnation: work.incarnation } : null,
        });
      }
      case 'deciding': {
        const { slot, decision } = state;
        return this.#toNodes({ kind: 'decide', epoch, slot, decision });
      }
    }
  }

  #publish(decisions: Facts['decisions'], rulings: readonly Ruling[]): void {
    const settled = rulings.flatMap((ruling) => {
      const proposal = this.#rows.get(ruling.lsn);
      return proposal ? [factOf(proposal, ruling.outcome)] : [];
    });
    const message = facts(settled, decisions);
    this.#toNodes(message);
    this.#sends.push({ to: 'writers', message });
  }

  #toNodes(message: ToNode): void {
    this.#sends.push({ to: 'nodes', message });
  }

  #output(): AdjudicatorOutput {
    const output = { sends: this.#sends, events: this.#events };
    this.#sends = [];
    this.#events = [];
    return output;
  }
}
