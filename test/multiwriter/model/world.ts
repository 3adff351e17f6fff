/**
 * The model: nodes, writers and their primaries on a network that loses, doubles, delays and reorders, with processes that crash
 * at any moment. The state machines are those that the processes run. Every choice is asked of `choose`, so that a run is its
 * choices: a seed repeats it, fast-check shrinks it.
 */
import {
  isHearsay,
  Adjudicator,
  type AdjudicatorOutput,
  frontierOf,
  type KeyMode,
  type KeyUse,
  lowest,
  type NodeOutput,
  type NodeRecord,
  type Policy,
  type Proposal,
  type Quorums,
  type Rules,
  RULES,
  StorageNode,
  type Submission,
  type Vector,
  Writer,
  type WriterOutput,
} from '../../../src/multiwriter/protocol/index.js';
import type { FromNode, ToNode, ToPrimary, ToWriter } from '../../../src/multiwriter/protocol/messages.js';
import { Engine } from './engine.js';
import { fail, Observer } from './invariants.js';

/** Uniform in 0 … n − 1. */
export type Choose = (n: number) => number;

export interface WorldOptions {
  readonly quorums: Quorums;
  readonly writers: number;
  readonly keys: number;
  readonly policy: Policy;
  readonly rules?: Rules;
  /** Weights of faults, and what is slow, where it is not left to chance: to go where a certain mistake shows. */
  readonly faults?: Partial<Record<'lose' | 'double' | 'crashNode' | 'crashWriter' | 'lead', number>>;
  readonly slow?: readonly Slow[];
  /** What of a node's records a crash leaves; the identity, unless a mutant loses some. */
  readonly survives?: (record: NodeRecord) => boolean;
  /** The epoch of a new primary, the n-th of all; n, unless a mutant lets two have the same. */
  readonly epochOf?: (n: number) => number;
}

type Letter =
  | { readonly to: 'node'; readonly at: number; readonly from: Sender; readonly message: ToNode }
  | { readonly to: 'writer'; readonly at: number; readonly message: ToWriter }
  | { readonly to: 'primary'; readonly at: number; readonly message: ToPrimary };
type Sender = { readonly kind: 'writer' | 'primary' | 'node'; readonly at: number };

interface Action {
  readonly weight: number;
  readonly act: () => void;
}

interface NodeHost {
  machine: StorageNode | null;
  disk: NodeRecord[];
  /** Done in memory; not yet flushed, so nothing of it was sent. */
  unflushed: { readonly output: NodeOutput; readonly from: Sender | null }[];
}
interface LocalTransaction {
  readonly base: Vector;
  readonly keys: readonly KeyUse[];
}
interface WriterHost {
  starts: number;
  machine: Writer | null;
  /** Its former incarnation, which was paused and not dead: it goes on counting votes, and answers its clients. */
  zombie: Writer | null;
  adjudicator: Adjudicator;
  readonly engine: Engine;
  /** Began, and not yet proposed. */
  open: LocalTransaction[];
  /** Locks of what was proposed. */
  inFlight: Map<number, LocalTransaction>;
  reachedBefore: Vector;
}

const MODES: readonly KeyMode[] = ['update', 'update', 'exclusive', 'shared'];
const MAX_LETTERS = 80;
const SLOWNESS = 30;
const KINDS = [
  'facts to node',
  'committed to node',
  'facts to writer',
  'propose to node',
  'vote to writer',
  'seal to node',
  'decide to node',
  'decision-accepted to primary',
  'prepare to node',
] as const;
type Slow = (typeof KINDS)[number] | `node ${number}`;
const REST_ROUNDS = 60;

export class World {
  readonly observer = new Observer();
  readonly #options: WorldOptions;
  readonly #choose: Choose;
  readonly #nodes: NodeHost[];
  readonly #writers: WriterHost[];
  readonly #actions: readonly Action[];
  readonly #totalWeight: number;
  readonly #slow: ReadonlySet<string>;
  #network: Letter[] = [];
  #epoch = 0;

  constructor(options: WorldOptions, choose: Choose) {
    this.#options = options;
    this.#choose = choose;
    this.#nodes = Array.from({ length: options.quorums.nodes }, () => ({
      machine: null,
      disk: [],
      unflushed: [],
    }));
    this.#nodes.forEach((_, at) => this.#startNode(at));
    this.#writers = Array.from({ length: options.writers }, (_, at) => ({
      starts: 0,
      machine: null,
      zombie: null,
      adjudicator: new Adjudicator(options.quorums, options.policy, this.#rules),
      engine: new Engine(at, this.observer),
      open: [],
      inFlight: new Map(),
      reachedBefore: {},
    }));
    this.#writers.forEach((_, at) => this.#startWriter(at));
    this.#actions = this.#weather();
    this.#slow = new Set(
      options.slow ?? [
        ...KINDS.filter(() => this.#choose(4) === 0),
        ...this.#nodes.map((_, at) => `node ${at}`).filter(() => this.#choose(8) === 0),
        ...this.#writers.map((_, at) => `writer ${at}`).filter(() => this.#choose(8) === 0),
      ],
    );
    this.#totalWeight = this.#actions.reduce((sum, { weight }) => sum + weight, 0);
    // Something to begin with; from here on everything is chance.
    this.#lead(0);
    for (let round = 0; round < 6; round++) this.#calmRound();
  }

  /** One thing happens. Throws a Violation. */
  step(): void {
    let dice = this.#choose(this.#totalWeight);
    for (const { weight, act } of this.#actions) {
      dice -= weight;
      if (dice >= 0) continue;
      act();
      return this.#survey();
    }
  }

  /** Every world has a weather of its own: faults that are rare in one are frequent in another, or do not occur. */
  #weather(): Action[] {
    const { faults } = this.#options;
    const someNode = (): number => this.#choose(this.#nodes.length);
    const someWriter = (): number => this.#choose(this.#writers.length);
    const fault = (rare: number): number => [0, rare, 4 * rare][this.#choose(3)]!;
    return [
      { weight: 700, act: () => this.#deliver() },
      { weight: 300, act: () => this.#flushSome() },
      { weight: 50 + 50 * this.#choose(3), act: () => this.#client() },
      { weight: 10 + 15 * this.#choose(3), act: () => this.#tickSome() },
      { weight: 5, act: () => this.#writerAt(someWriter()).engine.flush() },
      { weight: 20, act: () => this.#startSomething() },
      { weight: faults?.lose ?? fault(10), act: () => this.#lose() },
      { weight: faults?.double ?? fault(10), act: () => this.#double() },
      { weight: faults?.crashNode ?? fault(2), act: () => this.#crashNode(someNode()) },
      { weight: faults?.crashWriter ?? fault(1), act: () => this.#crashWriter(someWriter()) },
      { weight: faults?.lead ?? fault(2), act: () => this.#lead(someWriter()) },
      { weight: 10, act: () => this.#leadIfNobodyDoes(someWriter()) },
    ];
  }

  /** Faults end; everything has to come to an end, and to the same end everywhere. */
  rest(): void {
    this.#nodes.forEach((node, at) => node.machine ?? this.#startNode(at));
    this.#writers.forEach((writer, at) => writer.machine ?? this.#startWriter(at));
    this.#writers.forEach((writer) => (writer.open = []));
    this.#lead(0);
    let rounds = 0;
    while (!this.#isAtRest()) {
      if (++rounds > REST_ROUNDS) fail('comes to rest', `not within ${REST_ROUNDS} rounds without faults`);
      this.#calmRound();
    }
    // It is at rest in memory; the last of it may be on its way to the disk.
    this.#nodes.forEach((_, at) => this.#flush(at, Infinity));
    this.#compare();
  }

  /** As if somebody asked, after every step: no message can make it worse. */
  #survey(): void {
    const running = this.#nodes.flatMap(({ machine }) =>
      machine ? [frontierOf(machine.state, this.#rules)] : [],
    );
    this.observer.frontiers(running, this.#options.quorums.classic);
  }

  // --- the network ---------------------------------------------------------------------------------------------------

  #post(letter: Letter): void {
    if (letter.message.kind === 'facts') {
      letter.message.facts.forEach((fact) => this.observer.fact(fact));
      letter.message.decisions.forEach((chosen) => this.observer.chosen(chosen));
    }
    if (letter.message.kind === 'committed') this.observer.outcome(letter.message.lsn, 'commit');
    this.#network.push(letter);
    // A network that holds everything for ever is of no interest; what it loses may be anything.
    if (this.#network.length > MAX_LETTERS) this.#network.splice(this.#choose(this.#network.length), 1);
  }

  #deliver(): void {
    const at = this.#choose(Math.max(1, this.#network.length));
    const letter = this.#network[at];
    if (!letter || (this.#isSlow(letter) && this.#choose(SLOWNESS) > 0)) return;
    this.#network.splice(at, 1);
    this.#hand(letter);
  }

  /** What is fast by chance everywhere is never far behind: some kinds of messages, and some ways, are slow in a world. */
  #isSlow({ to, at, message }: Letter): boolean {
    return this.#slow.has(`${message.kind} to ${to}`) || this.#slow.has(`${to} ${at}`);
  }

  #lose(): void {
    if (this.#network.length > 0) this.#network.splice(this.#choose(this.#network.length), 1);
  }

  #double(): void {
    const letter = this.#network[this.#choose(Math.max(1, this.#network.length))];
    if (letter) this.#network.push(letter);
  }

  #hand(letter: Letter): void {
    switch (letter.to) {
      case 'node': {
        const node = this.#nodeAt(letter.at);
        const output = node.machine?.receive(letter.message);
        if (!output) return;
        if (!isHearsay(output)) return void node.unflushed.push({ output, from: letter.from });
        this.#nodeSaid(letter.at, output, letter.from);
        node.unflushed.push({ output: { ...output, sends: [] }, from: letter.from });
        return;
      }
      case 'writer': {
        const { machine, zombie } = this.#writerAt(letter.at);
        if (machine) this.#writerDid(letter.at, machine.receive(letter.message));
        if (zombie) this.#zombieDid(letter.at, zombie.receive(letter.message));
        return;
      }
      case 'primary': {
        const { machine, adjudicator } = this.#writerAt(letter.at);
        if (machine) this.#adjudicatorDid(letter.at, adjudicator.receive(letter.message));
        return;
      }
    }
  }

  // --- nodes ---------------------------------------------------------------------------------------------------------

  #startNode(at: number): void {
    const node = this.#nodeAt(at);
    node.machine = new StorageNode(`s${at + 1}`, node.disk, this.#rules);
  }

  /** One flush, of the oldest outputs: all their records, then all their messages. */
  #flush(at: number, count: number): void {
    const node = this.#nodeAt(at);
    const done = node.unflushed.splice(0, count);
    for (const { output } of done) node.disk.push(...output.records);
    for (const { output, from } of done) this.#nodeSaid(at, output, from);
  }

  #nodeSaid(at: number, { sends }: NodeOutput, from: Sender | null): void {
    for (const { to, message } of sends) {
      switch (to) {
        case 'sender':
          if (from) this.#answer(at, from, message);
          break;
        case 'writers':
          this.#writers.forEach((_, writer) => this.#post({ to: 'writer', at: writer, message }));
          break;
        case 'peers':
          this.#nodes.forEach((_, peer) => {
            if (peer !== at) this.#post({ to: 'node', at: peer, from: { kind: 'node', at }, message });
          });
          break;
        case 'primary':
          this.#toPrimaries(message);
          break;
      }
    }
  }

  #answer(at: number, from: Sender, message: FromNode): void {
    this.observer.said(`s${at + 1}`, message);
    switch (message.kind) {
      case 'vote':
        return this.#post({ to: 'writer', at: from.at, message });
      case 'facts':
        if (from.kind === 'node') {
          return this.#post({ to: 'node', at: from.at, from: { kind: 'node', at }, message });
        }
        return this.#post({ to: 'writer', at: from.at, message });
      case 'promise':
      case 'sealed':
      case 'decision-accepted':
      case 'outranked':
        return this.#post({ to: 'primary', at: from.at, message });
      case 'frontier':
        return;
    }
  }

  #flushSome(): void {
    const waiting = [...this.#nodes.keys()].filter((at) => this.#nodeAt(at).unflushed.length > 0);
    const at = waiting[this.#choose(Math.max(1, waiting.length))];
    if (at !== undefined) this.#flush(at, 1 + this.#choose(this.#nodeAt(at).unflushed.length));
  }

  /** Some of what was being written has reached the disk, and nobody was told. */
  #crashNode(at: number): void {
    const node = this.#nodeAt(at);
    const records = node.unflushed.flatMap(({ output }) => output.records);
    node.disk.push(...records.slice(0, this.#choose(records.length + 1)));
    node.disk = node.disk.filter(this.#options.survives ?? (() => true));
    node.unflushed = [];
    node.machine = null;
  }

  // --- writers -------------------------------------------------------------------------------------------------------

  #startWriter(at: number): void {
    const writer = this.#writerAt(at);
    writer.starts++;
    writer.reachedBefore = writer.engine.flushedVector;
    writer.machine = new Writer(
      at,
      writer.starts,
      this.#options.quorums,
      writer.reachedBefore,
      this.#everybody,
      this.#rules,
    );
  }

  get #everybody(): number[] {
    return this.#writers.map((_, at) => at);
  }

  #crashWriter(at: number): void {
    const writer = this.#writerAt(at);
    writer.engine.crash(this.#choose);
    if (this.#choose(2) === 0) writer.zombie = writer.machine;
    writer.machine = null;
    writer.adjudicator = new Adjudicator(this.#options.quorums, this.#options.policy, this.#rules);
    writer.open = [];
    writer.inFlight.clear();
  }

  /** Its engine is gone; its clients are not. */
  #zombieDid(at: number, { sends, effects }: WriterOutput): void {
    for (const effect of effects) {
      if (effect.kind === 'decided') this.observer.acknowledge(effect.proposal, effect.outcome);
      if (effect.kind === 'fenced' || effect.kind === 'left-behind') this.#writerAt(at).zombie = null;
    }
    this.#writerSends(at, sends);
  }

  #writerDid(at: number, { sends, effects }: WriterOutput): void {
    const writer = this.#writerAt(at);
    for (const effect of effects) {
      switch (effect.kind) {
        case 'decided':
          writer.inFlight.delete(effect.proposal.lsn);
          this.observer.acknowledge(effect.proposal, effect.outcome);
          if (effect.outcome === 'commit') writer.engine.apply(effect.proposal, writer.reachedBefore, true);
          break;
        case 'apply':
          this.observer.outcome(effect.proposal.lsn, 'commit');
          writer.engine.apply(effect.proposal, writer.reachedBefore, false);
          break;
        case 'opened':
          break;
        case 'fenced':
          this.#crashWriter(at);
          this.#startWriter(at);
          return;
        case 'left-behind':
          fail('whoever comes back finds what it lacks', `writer ${at}`);
      }
    }
    writer.reachedBefore = writer.machine?.reached ?? writer.reachedBefore;
    this.#writerSends(at, sends);
  }

  #writerSends(at: number, sends: WriterOutput['sends']): void {
    for (const { to, message } of sends) {
      if (to === 'primary') this.#toPrimaries(message);
      else if (to === 'a-node')
        this.#toNode(this.#choose(this.#nodes.length), { kind: 'writer', at }, message);
      else this.#toNodes({ kind: 'writer', at }, message);
    }
  }

  /** A client begins a transaction, or comes to its COMMIT. */
  #client(): void {
    const at = this.#choose(this.#writers.length);
    const writer = this.#writerAt(at);
    if (writer.machine?.state !== 'open') return;
    if (writer.open.length === 0 || this.#choose(2) === 0) {
      const keys = Array.from({ length: 1 + this.#choose(2) }, () => ({
        key: `k${this.#choose(this.#options.keys)}`,
        mode: MODES[this.#choose(MODES.length)] ?? 'update',
      }));
      writer.open.push({ base: writer.machine.reached, keys });
      return;
    }
    const [transaction] = writer.open.splice(this.#choose(writer.open.length), 1);
    if (transaction) this.#commit(at, transaction);
  }

  #commit(at: number, transaction: LocalTransaction): void {
    const writer = this.#writerAt(at);
    // The engine's own locks: it would wait, here it gives up.
    const isLocked = [...writer.inFlight.values()].some((other) => overlap(other.keys, transaction.keys));
    if (isLocked) return;
    const submission: Submission = {
      ...transaction,
      payload: '',
      retries: this.#choose(3),
      priority: this.#choose(2),
    };
    const submitted = writer.machine?.submit(submission);
    if (!submitted) return;
    writer.inFlight.set(submitted.lsn, transaction);
    const [first] = submitted.output.sends;
    if (first?.message.kind === 'propose') this.observer.proposed(first.message.proposal);
    this.#writerDid(at, submitted.output);
  }

  #horizonOf({ engine, open, inFlight }: WriterHost): Vector {
    return [...open, ...inFlight.values()].map(({ base }) => base).reduce(lowest, engine.flushedVector);
  }

  // --- primaries -----------------------------------------------------------------------------------------------------

  #lead(at: number): void {
    const { machine, adjudicator } = this.#writerAt(at);
    const epochOf = this.#options.epochOf ?? ((n) => n);
    if (machine) this.#adjudicatorDid(at, adjudicator.lead(epochOf(++this.#epoch)));
  }

  #leadIfNobodyDoes(at: number): void {
    if (!this.#writers.some(({ adjudicator }) => adjudicator.isLeading)) this.#lead(at);
  }

  #adjudicatorDid(at: number, { sends, events }: AdjudicatorOutput): void {
    for (const event of events) this.observer.event(`w${at}`, event);
    for (const { to, message } of sends) {
      if (to === 'nodes') this.#toNodes({ kind: 'primary', at }, message);
      else this.#writers.forEach((_, writer) => this.#post({ to: 'writer', at: writer, message }));
    }
  }

  #toPrimaries(message: ToPrimary): void {
    this.#writers.forEach(({ adjudicator }, at) => {
      if (adjudicator.isLeading) this.#post({ to: 'primary', at, message });
    });
  }

  #toNodes(from: Sender, message: ToNode): void {
    this.#nodes.forEach((_, at) => this.#toNode(at, from, message));
  }

  #toNode(at: number, from: Sender, message: ToNode): void {
    this.#post({ to: 'node', at, from, message });
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  #tickSome(): void {
    const at = this.#choose(this.#nodes.length + this.#writers.length);
    if (at < this.#nodes.length) this.#tickNode(at);
    else this.#tickWriter(at - this.#nodes.length);
  }

  #tickNode(at: number): void {
    const node = this.#nodeAt(at);
    if (node.machine) node.unflushed.push({ output: node.machine.tick(), from: null });
  }

  #tickWriter(at: number): void {
    const writer = this.#writerAt(at);
    if (!writer.machine) return;
    this.#writerDid(at, writer.machine.tick(this.#horizonOf(writer)));
    this.#adjudicatorDid(at, writer.adjudicator.tick());
  }

  #startSomething(): void {
    const nodes = [...this.#nodes.keys()].filter((at) => !this.#nodeAt(at).machine);
    const writers = [...this.#writers.keys()].filter((at) => !this.#writerAt(at).machine);
    const which = this.#choose(Math.max(1, nodes.length + writers.length));
    const [node, writer] = [nodes[which], writers[which - nodes.length]];
    if (node !== undefined) this.#startNode(node);
    else if (writer !== undefined) this.#startWriter(writer);
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** Everything on the way arrives, everybody's clock ticks. */
  #calmRound(): void {
    this.#nodes.forEach((_, at) => this.#tickNode(at));
    this.#writers.forEach((_, at) => this.#tickWriter(at));
    for (let budget = 2_000; budget > 0; budget--) {
      this.#nodes.forEach((_, at) => this.#flush(at, Infinity));
      const letter = this.#network.shift();
      if (!letter) return;
      this.#hand(letter);
    }
  }

  #isAtRest(): boolean {
    const vectors = new Set([
      ...this.#writers.map(({ machine }) => canonical(machine?.reached ?? {})),
      ...this.#nodes.map(({ machine }) => canonical(machine?.state.reached ?? {})),
    ]);
    return (
      vectors.size === 1 &&
      this.#writers.every(({ machine }) => machine?.state === 'open' && machine.inFlight === 0) &&
      this.#nodes.every(({ machine }) => machine?.state.undecided.size === 0) &&
      [...this.observer.outcomes].every(
        ([lsn, outcome]) =>
          outcome === 'abort' || this.#writers.every(({ engine }) => engine.applied.has(lsn)),
      )
    );
  }

  #compare(): void {
    const [first, ...others] = this.#writers.map(({ engine }) => engine.contents());
    const different = others.find((contents) => contents !== first);
    if (different !== undefined) fail('all writers converge', `${first} and ${different}`);
    for (const { engine } of this.#writers) {
      for (const lsn of engine.applied) {
        if (this.observer.outcomes.get(lsn) !== 'commit')
          fail('all writers converge', `${lsn} was applied, and never committed`);
      }
    }
    for (const lsn of this.observer.acknowledged) {
      if (!this.#writers.every(({ engine }) => engine.applied.has(lsn)))
        fail('an acknowledged commit is never lost', `${lsn} is missing`);
    }
    this.#nodes.forEach((_, at) => this.#rebuild(at, first ?? ''));
  }

  /** A new engine, from what one node has on its disk. */
  #rebuild(at: number, expected: string): void {
    const node = new StorageNode('copy', this.#nodeAt(at).disk, this.#rules);
    if (Object.keys(node.state.truncated).length > 0) return;
    const engine = new Engine(-1, new Observer());
    const writer = new Writer(this.#options.writers, 1, this.#options.quorums);
    // Long enough for any history of the model: a node answers in pieces.
    for (let piece = 0; piece < 100; piece++) {
      const answers = node.receive({ kind: 'fetch', after: writer.reached, slot: 0 }).sends;
      for (const { message } of answers) {
        if (message.kind !== 'facts') continue;
        for (const effect of writer.receive(message).effects)
          if (effect.kind === 'apply') engine.apply(effect.proposal, {}, false);
      }
    }
    if (engine.contents() !== expected)
      fail('the log alone rebuilds them', `${expected}, and from s${at + 1}: ${engine.contents()}`);
  }

  get #rules(): Rules {
    return this.#options.rules ?? RULES;
  }

  #nodeAt(at: number): NodeHost {
    return this.#nodes[at]!;
  }
  #writerAt(at: number): WriterHost {
    return this.#writers[at]!;
  }
}

const canonical = (vector: Vector): string => JSON.stringify(Object.entries(vector).sort());

const overlap = (a: Proposal['keys'], b: Proposal['keys']): boolean =>
  a.some(({ key }) => b.some((other) => other.key === key));
