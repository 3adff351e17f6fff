/**
 * A storage node: votes on proposals, keeps the log, answers the primary. No I/O: `receive` takes a message, changes the state by
 * records, and returns them with what is to be sent once they are on disk.
 *
 *   vote    accept iff no other writer's transaction, committed or not, holds a key in a mode that excludes this one and is
 *           unknown to its base; all keys or none
 *   seal    what was not accepted until now never will be; its keys are reserved until the primary's verdict
 *   decide  a slot of the decision log; refused to a primary of a lower epoch than the one promised
 */
import { frontierOf } from './frontier.js';
import type { Obstacle } from './key-table.js';
import type { Output } from './output.js';
import { type NodeRecord, NodeState } from './node-state.js';
import { type Lsn, writerOf } from './lsn.js';
import {
  type Adjudicate,
  type Committed,
  type Decide,
  type Epoch,
  type Fact,
  type Facts,
  factOf,
  facts,
  type Fetch,
  type FromNode,
  type Horizon,
  lsnOf,
  type NodeId,
  type Prepare,
  type Propose,
  type Refusal,
  type Seal,
  type Standing,
  type Survey,
  type ToNode,
} from './messages.js';
import { isDue, slowness } from './patience.js';
import { commonKey, type Proposal, proposerOf } from './proposal.js';
import { RULES, type Rules } from './rules.js';
import { at, includes, isWithin, lowest, type Vector, writers } from './vector.js';

/** Facts in one answer, and characters of their rows; who is far behind asks again. One transaction may be larger. */
const MAX_FACTS = 500;
const MAX_FACTS_LENGTH = 4 * 1024 * 1024;
/** A transaction that is undecided for so many ticks is nobody's business any more: the primary is asked. */
const PATIENCE_TICKS = 3;

export type NodeSend =
  | { readonly to: 'sender'; readonly message: FromNode }
  | { readonly to: 'writers'; readonly message: Facts }
  | { readonly to: 'peers'; readonly message: Fetch }
  | { readonly to: 'primary'; readonly message: Adjudicate };

export type NodeOutput = Output<NodeRecord, NodeSend>;

/**
 * Passes on what a writer says that has counted the votes: it stays true whatever this node loses, so nobody has to wait for its
 * record. A node that has lost that is one that was not told.
 */
export const isHearsay = ({ records }: NodeOutput): boolean =>
  records.length > 0 && records.every((record) => record.kind === 'outcome' && record.outcome === 'commit');

export class StorageNode {
  readonly id: NodeId;
  readonly #state = new NodeState();
  readonly #rules: Rules;
  readonly #waiting = new Map<Lsn, number>();
  readonly #horizons = new Map<number, Vector>();
  #records: NodeRecord[] = [];
  #sends: NodeSend[] = [];

  /** `log`: the records found on disk. */
  constructor(id: NodeId, log: Iterable<NodeRecord> = [], rules: Rules = RULES) {
    this.id = id;
    this.#rules = rules;
    for (const record of log) this.#state.apply(record);
  }

  get state(): Omit<NodeState, 'apply'> {
    return this.#state;
  }

  receive(message: ToNode): NodeOutput {
    switch (message.kind) {
      case 'propose':
        this.#propose(message);
        break;
      case 'committed':
        this.#committed(message);
        break;
      case 'facts':
        this.#learn(message);
        break;
      case 'fetch':
        this.#fetch(message);
        break;
      case 'prepare':
        this.#prepare(message);
        break;
      case 'seal':
        this.#seal(message);
        break;
      case 'decide':
        this.#decide(message);
        break;
      case 'horizon':
        this.#horizon(message);
        break;
      case 'survey':
        this.#survey(message);
        break;
    }
    return this.#output();
  }

  /** Time has passed: catch up with the peers, and ask about what nobody settles. */
  tick(): NodeOutput {
    this.#catchUp();
    for (const lsn of this.#waiting.keys()) if (!this.#state.undecided.has(lsn)) this.#waiting.delete(lsn);
    for (const [lsn, proposal] of this.#state.undecided) {
      const ticks = (this.#waiting.get(lsn) ?? 0) + 1;
      this.#waiting.set(lsn, ticks);
      if (isDue(ticks, PATIENCE_TICKS * slowness(proposal)))
        this.#send({ to: 'primary', message: { kind: 'adjudicate', proposal } });
    }
    return this.#output();
  }

  // --- votes ---------------------------------------------------------------------------------------------------------

  #propose({ proposal }: Propose): void {
    const { lsn } = proposal;
    const outcome = this.#state.outcomeOf(lsn);
    if (outcome) {
      if (!this.#state.facts.has(lsn)) this.#record({ kind: 'fact', fact: factOf(proposal, outcome) });
      return this.#reply(facts([factOf(proposal, outcome)]));
    }
    const refusal = this.#refusal(proposal);
    if (!refusal && !this.#state.entries.get(lsn)?.accepted) this.#record({ kind: 'vote', proposal });
    this.#reply({ kind: 'vote', node: this.id, lsn, refusal });
  }

  #refusal(proposal: Proposal): Refusal | null {
    const { lsn, incarnation } = proposal;
    const state = this.#state;
    const entry = state.entries.get(lsn);
    if (entry?.accepted) return null;
    if (entry?.sealed) return { kind: 'sealed' };
    const writer = proposerOf(proposal);
    const { incarnations, ceiling } = state.log.summary;
    if (incarnation > (incarnations[writer] ?? 0)) return { kind: 'behind' };
    if (this.#rules.isFenced(incarnation, state.fence(writer))) return { kind: 'fenced' };
    // It was decided, everybody has it, and what is held of it now would be held for ever.
    if (includes(state.truncated, lsn)) return { kind: 'too-old' };
    // The ceiling was raised, and that has not come here yet.
    if (lsn >= ceiling) return { kind: 'behind' };
    if (this.#isTooOld(proposal)) return { kind: 'too-old' };
    return this.#conflict(proposal);
  }

  /** Would its base have to include what is no longer held? Only a writer that broke the word of its horizon proposes so. */
  #isTooOld({ lsn, base }: Proposal): boolean {
    // By the stream's writer: where it ends in a void, the LSN is of anybody's block.
    const { truncated } = this.#state;
    return writers(truncated).some((one) => one !== writerOf(lsn) && at(base, one) < at(truncated, one));
  }

  #conflict(proposal: Proposal): Refusal | null {
    const obstacle = this.#committedObstacle(proposal);
    if (obstacle) return { kind: 'conflict', ...obstacle };
    const [rival] = this.#rivals(proposal);
    return rival ? { kind: 'conflict', against: rival.lsn, key: commonKey(proposal, rival) ?? '' } : null;
  }

  /** Whoever has seen it was decided after it: it has committed, where it is still undecided to a node that knows all verdicts. */
  #committedObstacle(proposal: Proposal): Obstacle | null {
    return this.#state.keys.committedObstacle(proposal, (base) => includes(base, proposal.lsn));
  }

  /** Undecided transactions that exclude this one. */
  #rivals(proposal: Proposal): Proposal[] {
    return [...this.#state.keys.neighbours(proposal).values()].filter((other) => {
      const entry = this.#state.entries.get(other.lsn);
      const keeps = this.#rules.keepsKeys({
        proposal: other,
        accepted: entry?.accepted ?? false,
        sealed: entry?.sealed ?? false,
      });
      return keeps && this.#rules.excludes(proposal, other);
    });
  }

  // --- the primary ---------------------------------------------------------------------------------------------------

  #prepare({ epoch }: Prepare): void {
    const state = this.#state;
    if (this.#isOutranked(epoch)) return;
    if (epoch > state.promised) this.#record({ kind: 'promise', epoch });
    const summary = state.log.summary;
    this.#reply({ kind: 'promise', node: this.id, epoch, summary, open: state.openSlots });
  }

  #seal(seal: Seal): void {
    const { epoch, round, proposals, fence } = seal;
    const state = this.#state;
    if (this.#isOutranked(epoch)) return;
    if (this.#rules.isTooFarBehind(state.log.summary.slot, seal)) return this.#catchUp();
    this.#reserve(seal);
    const standings = new Map<Lsn, Standing>();
    const blocked: { lsn: Lsn; against: Lsn; key: string }[] = [];
    const report = (proposal: Proposal): void => {
      const { lsn } = proposal;
      const outcome = includes(state.truncated, lsn) ? 'forgotten' : state.outcomeOf(lsn);
      standings.set(lsn, { proposal, accepted: state.entries.get(lsn)?.accepted ?? false, outcome });
    };
    for (const proposal of proposals) {
      report(proposal);
      if (!state.undecided.has(proposal.lsn)) continue;
      this.#rivals(proposal).forEach(report);
      const obstacle = this.#committedObstacle(proposal);
      if (obstacle) blocked.push({ lsn: proposal.lsn, ...obstacle });
    }
    if (fence) {
      for (const proposal of state.undecided.values()) {
        if (proposerOf(proposal) === fence.writer && proposal.incarnation < fence.incarnation)
          report(proposal);
      }
    }
    const reached = fence ? at(state.reached, fence.writer) : at({}, 0);
    this.#reply({
      kind: 'sealed',
      node: this.id,
      epoch,
      round,
      standings: [...standings.values()],
      blocked,
      tooOld: proposals.filter((one) => this.#isTooOld(one)).map(({ lsn }) => lsn),
      reached,
      commits: fence ? state.commitsOf(fence.writer, reached) : [],
    });
  }

  /** Puts the seal on record, unless it says nothing new. */
  #reserve({ epoch, proposals, fence }: Seal): void {
    const state = this.#state;
    const open = proposals.filter(
      ({ lsn }) =>
        state.outcomeOf(lsn) === null && !includes(state.truncated, lsn) && !state.entries.get(lsn)?.sealed,
    );
    const isRaised = fence !== null && fence.incarnation > state.fence(fence.writer);
    if (open.length === 0 && !isRaised && epoch === state.promised) return;
    this.#record({
      kind: 'seal',
      epoch,
      proposals: open.filter(({ lsn }) => !state.entries.get(lsn)),
      lsns: open.map(({ lsn }) => lsn),
      fence: isRaised ? fence : null,
    });
  }

  #decide({ epoch, slot, decision }: Decide): void {
    const state = this.#state;
    if (this.#isOutranked(epoch)) return;
    const isNew = !state.log.has(slot) && state.accepted.get(slot)?.epoch !== epoch;
    if (isNew) this.#record({ kind: 'accept', epoch, slot, decision });
    else if (epoch > state.promised) this.#record({ kind: 'promise', epoch });
    this.#reply({ kind: 'decision-accepted', node: this.id, epoch, slot });
  }

  #isOutranked(epoch: Epoch): boolean {
    const { promised } = this.#state;
    if (!this.#rules.isOutranked(epoch, promised)) return false;
    this.#reply({ kind: 'outranked', node: this.id, epoch: promised });
    return true;
  }

  // --- what is known -------------------------------------------------------------------------------------------------

  #learn({ facts: heard, decisions, truncated }: Facts): void {
    const state = this.#state;
    for (const { slot, decision } of decisions) {
      if (!state.log.has(slot)) this.#record({ kind: 'chosen', slot, decision });
    }
    for (const fact of heard) {
      const lsn = lsnOf(fact);
      if (includes(state.truncated, lsn) || state.facts.has(lsn)) continue;
      if (state.undecided.has(lsn)) this.#record({ kind: 'outcome', lsn, outcome: fact.outcome });
      else this.#record({ kind: 'fact', fact });
    }
    if (!isWithin(truncated, state.truncated)) this.#record({ kind: 'truncate', below: truncated });
  }

  #committed({ lsn }: Committed): void {
    if (this.#state.undecided.has(lsn)) this.#record({ kind: 'outcome', lsn, outcome: 'commit' });
  }

  #fetch({ after, slot }: Fetch): void {
    const state = this.#state;
    // In the order of their streams, not in that in which they came here: behind a gap nobody gets on.
    const unknown: Fact[] = [];
    for (const [lsn, fact] of state.facts) if (!includes(after, lsn)) unknown.push(fact);
    unknown.sort((a, b) => lsnOf(a) - lsnOf(b));
    const missing: Fact[] = [];
    let length = 0;
    for (const fact of unknown) {
      length += fact.outcome === 'commit' ? fact.proposal.payload.length : 0;
      if (missing.length === MAX_FACTS || (missing.length > 0 && length > MAX_FACTS_LENGTH)) break;
      missing.push(fact);
    }
    const decisions = state.log.after(slot);
    const isAhead = !isWithin(state.truncated, after);
    if (missing.length === 0 && decisions.length === 0 && !isAhead) return;
    this.#reply(facts(missing, decisions, state.truncated));
  }

  #survey({ number }: Survey): void {
    const frontier = frontierOf(this.#state, this.#rules);
    this.#reply({ kind: 'frontier', node: this.id, number, frontier });
  }

  #catchUp(): void {
    const { reached, log } = this.#state;
    this.#send({ to: 'peers', message: { kind: 'fetch', after: reached, slot: log.summary.slot } });
  }

  /** Once every writer that was ever opened, or will be, has said so, what they all have is forgotten. */
  #horizon({ writer, vector, writers }: Horizon): void {
    this.#horizons.set(writer, vector);
    const opened = Object.keys(this.#state.log.summary.incarnations).map(Number);
    const all = [...new Set([...opened, ...writers])];
    if (!all.every((one) => this.#horizons.has(one))) return;
    const vectors = all.map((one) => this.#horizons.get(one) ?? {});
    const below = vectors.reduce(lowest, this.#state.reached);
    if (!isWithin(below, this.#state.truncated)) this.#record({ kind: 'truncate', below });
  }

  // --- output --------------------------------------------------------------------------------------------------------

  #record(record: NodeRecord): void {
    this.#records.push(record);
    const made = this.#state.apply(record);
    if (made.length > 0) this.#send({ to: 'writers', message: facts(made) });
    if (record.kind === 'chosen') {
      const { slot, decision } = record;
      this.#send({ to: 'writers', message: facts([], [{ slot, decision }]) });
    }
  }

  #reply(message: FromNode): void {
    this.#send({ to: 'sender', message });
  }

  #send(send: NodeSend): void {
    this.#sends.push(send);
  }

  #output(): NodeOutput {
    const output = { records: this.#records, sends: this.#sends };
    this.#records = [];
    this.#sends = [];
    return output;
  }
}
