/** Single steps of the state machines, where a schedule that shows the mistake is too rare to wait for. */
import { describe, expect, it } from 'vitest';
import {
  Adjudicator,
  Asked,
  conflict,
  DEFAULT_QUORUMS,
  type Fact,
  type FromNode,
  type KeyUse,
  lsn,
  lsnOf,
  LsnAllocator,
  type NodeOutput,
  type Proposal,
  quorumsFor,
  RULES,
  type Sealed,
  StorageNode,
  Writer,
  type Vector,
  whyUnsafe,
  writerOf,
} from '../../../src/multiwriter/protocol/index.js';
import { EMPTY_SUMMARY, type Decision } from '../../../src/multiwriter/protocol/decision.js';
import { judge } from '../../../src/multiwriter/protocol/judge.js';
import { BLOCK_LSNS, FIRST_LSN, RAISE_LSNS, WRITER_SLOTS } from '../../../src/multiwriter/protocol/lsn.js';

const proposal = (writer: number, keys: KeyUse[], more: Partial<Proposal> = {}): Proposal => ({
  lsn: lsn(FIRST_LSN + writer * BLOCK_LSNS),
  previous: lsn(FIRST_LSN - 1),
  incarnation: 1,
  base: {},
  keys,
  payload: '',
  retries: 0,
  priority: 0,
  ...more,
});
const opens = (writer: number, incarnation: number): Decision => ({
  kind: 'open',
  incarnation,
  closing: { writer, after: lsn(0), from: FIRST_LSN, commits: [] },
  rulings: [],
});
const answersOf = ({ sends }: NodeOutput): FromNode[] =>
  sends.flatMap((send) => (send.to === 'sender' ? [send.message] : []));

/** A node on which writers 0 and 1 have begun. */
const nodeWithWriters = (): StorageNode => {
  const node = new StorageNode('s1');
  const decisions = [0, 1].map((writer, at) => ({ slot: at + 1, decision: opens(writer, 1) }));
  node.receive({ kind: 'facts', facts: [], decisions, truncated: {} });
  return node;
};
const voteOf = (node: StorageNode, what: Proposal): FromNode | undefined =>
  answersOf(node.receive({ kind: 'propose', proposal: what }))[0];

describe('quorums', () => {
  it.each([
    [3, 3, 2],
    [3, 2, 3],
    [4, 3, 3],
    [5, 4, 3],
    [6, 5, 4],
    [6, 4, 5],
  ])('%i/%i/%i are safe', (nodes, fast, classic) => expect(whyUnsafe({ nodes, fast, classic })).toBeNull());
  it.each([
    [3, 2, 2, '2·Qf + Qc'],
    [6, 4, 3, '2·Qc'],
    [6, 4, 4, '2·Qf + Qc'],
    [3, 3, 1, '2·Qc'],
    [3, 1, 2, 'Qf + Qc'],
    [3, 4, 2, 'larger'],
    [3, 2.5, 3, 'whole'],
  ])('%i/%i/%i are not: %s', (nodes, fast, classic, why) =>
    expect(whyUnsafe({ nodes, fast, classic })).toContain(why),
  );
  it('are safe for any number of nodes, and the default for three', () => {
    expect(quorumsFor(3)).toEqual(DEFAULT_QUORUMS);
    for (let nodes = 1; nodes < 30; nodes++) expect(whyUnsafe(quorumsFor(nodes))).toBeNull();
  });
});

describe('LSNs', () => {
  it('stay in the blocks of their writer, rise, and end at the ceiling', () => {
    const allocator = new LsnAllocator(3, FIRST_LSN, lsn(FIRST_LSN + 3 * WRITER_SLOTS * BLOCK_LSNS));
    const taken: number[] = [];
    for (let next = allocator.take(); next !== null; next = allocator.take()) taken.push(next);
    expect(taken).toHaveLength(3 * BLOCK_LSNS);
    expect(taken).toEqual([...taken].sort((a, b) => a - b));
    expect(new Set(taken.map((at) => writerOf(lsn(at))))).toEqual(new Set([3]));
  });
  it('go on above a foreign one', () => {
    const allocator = new LsnAllocator(0, FIRST_LSN, lsn(FIRST_LSN + RAISE_LSNS));
    const foreign = lsn(FIRST_LSN + 7 * BLOCK_LSNS + 5);
    allocator.observe(foreign);
    expect(allocator.take()).toBeGreaterThan(foreign);
  });
});

describe('conflicts', () => {
  const use = (mode: KeyUse['mode']): KeyUse[] => [{ key: 'k', mode }];
  it.each([
    ['exclusive', 'exclusive', true],
    ['exclusive', 'update', true],
    ['exclusive', 'shared', true],
    ['update', 'update', true],
    ['update', 'shared', false],
    ['shared', 'shared', false],
  ] as const)('%s and %s: %s, in either order, in the rule and on a node', (a, b, expected) => {
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const) {
      expect(conflict(proposal(0, use(first)), proposal(1, use(second)))).toBe(expected);
      const node = nodeWithWriters();
      voteOf(node, proposal(0, use(first)));
      expect(voteOf(node, proposal(1, use(second)))).toMatchObject({
        refusal: expected ? { kind: 'conflict', key: 'k' } : null,
      });
    }
  });
  it('not when one has seen the other, nor between transactions of one writer', () => {
    const first = proposal(0, use('update'));
    expect(conflict(first, proposal(1, use('update'), { base: { 0: first.lsn } }))).toBe(false);
    expect(conflict(first, proposal(0, use('update'), { lsn: lsn(first.lsn + 1) }))).toBe(false);
  });
});

describe('a survey', () => {
  const keys: KeyUse[] = [{ key: 'k', mode: 'update' }];
  const frontierOf = (node: StorageNode): unknown => {
    const [answer] = answersOf(node.receive({ kind: 'survey', number: 7 }));
    return answer?.kind === 'frontier' && answer.number === 7 ? answer.frontier : null;
  };
  const says = (outcome: 'commit' | 'abort', at: Proposal): Decision => ({
    kind: 'verdict',
    asked: at.lsn,
    rulings: [{ lsn: at.lsn, outcome, reason: { kind: 'policy' }, accepted: [], heard: [] }],
  });

  it('names what the node accepted, until it is aborted, and writes nothing', () => {
    const node = nodeWithWriters();
    const first = proposal(0, keys);
    expect(frontierOf(node)).toEqual({});
    voteOf(node, first);
    // Refused: the node may well be one of those that make it commit, but not by its vote.
    voteOf(node, proposal(1, keys));
    expect(node.receive({ kind: 'survey', number: 7 }).records).toEqual([]);
    expect(frontierOf(node)).toEqual({ 0: first.lsn });
    const { lsn: at, previous } = first;
    node.receive({
      kind: 'facts',
      facts: [{ outcome: 'abort', lsn: at, previous }],
      decisions: [],
      truncated: {},
    });
    expect(frontierOf(node)).toEqual({});
  });

  it('names what commits by a decision that the node has accepted, or knows ahead of its turn; and what it has forgotten', () => {
    const [first, second] = [proposal(0, keys), proposal(1, keys)];
    const accepts = nodeWithWriters();
    accepts.receive({ kind: 'decide', epoch: 1, slot: 3, decision: says('commit', first) });
    expect(frontierOf(accepts)).toEqual({ 0: first.lsn });
    accepts.receive({ kind: 'decide', epoch: 1, slot: 4, decision: says('abort', second) });
    expect(frontierOf(accepts)).toEqual({ 0: first.lsn });
    const ahead = nodeWithWriters();
    const decisions = [{ slot: 9, decision: says('commit', second) }];
    ahead.receive({ kind: 'facts', facts: [], decisions, truncated: { 0: first.lsn } });
    expect(frontierOf(ahead)).toEqual({ 0: first.lsn, 1: second.lsn });
  });

  it('is answered once Qc nodes have said so, by the highest of each writer', () => {
    const asked = new Asked(3, DEFAULT_QUORUMS);
    const answer = (node: string, frontier: Record<number, number>, number = 3) =>
      asked.hear({ kind: 'frontier', node, number, frontier: frontier as Vector });
    answer('s1', { 0: 5, 1: 1 });
    answer('s1', { 0: 5, 1: 1 });
    answer('s2', { 0: 9 }, 2);
    expect(asked.frontier).toBeNull();
    answer('s3', { 1: 4 });
    expect(asked.frontier).toEqual({ 0: 5, 1: 4 });
  });
});

describe('a node', () => {
  const keys: KeyUse[] = [{ key: 'k', mode: 'update' }];

  it('votes the same when it is asked again, with one record', () => {
    const node = nodeWithWriters();
    const first = node.receive({ kind: 'propose', proposal: proposal(0, keys) });
    const again = node.receive({ kind: 'propose', proposal: proposal(0, keys) });
    expect(first.records).toHaveLength(1);
    expect(again.records).toEqual([]);
    expect(answersOf(again)).toEqual(answersOf(first));
  });

  it('has no vote for a former incarnation, from the moment the primary asks about it', () => {
    const node = nodeWithWriters();
    const fence = { writer: 0, incarnation: 2 };
    node.receive({ kind: 'seal', epoch: 1, round: 1, slot: 2, proposals: [], fence });
    expect(voteOf(node, proposal(0, keys))).toMatchObject({ refusal: { kind: 'fenced' } });
  });

  it('knows that an LSN of a closed range is void, though it never saw it', () => {
    const node = nodeWithWriters();
    const closing = { writer: 0, after: lsn(0), from: lsn(FIRST_LSN + RAISE_LSNS), commits: [] };
    const decision: Decision = { kind: 'open', incarnation: 2, closing, rulings: [] };
    node.receive({ kind: 'facts', facts: [], decisions: [{ slot: 3, decision }], truncated: {} });
    expect(voteOf(node, proposal(0, keys))).toMatchObject({ kind: 'facts', facts: [{ outcome: 'abort' }] });
  });

  it('forgets nothing that a writer may lack which has not been opened yet', () => {
    const node = nodeWithWriters();
    const facts = [{ outcome: 'commit', proposal: proposal(0, keys) }] as const;
    node.receive({ kind: 'facts', facts, decisions: [], truncated: {} });
    const says = (writer: number): void =>
      void node.receive({ kind: 'horizon', writer, vector: node.state.reached, writers: [0, 1, 2] });
    for (const writer of [0, 1]) says(writer);
    expect(node.state.entries.size).toBe(1);
    says(2);
    expect(node.state.entries.size).toBe(0);
  });

  it('goes on behind what it is told to forget and never heard of', () => {
    const node = nodeWithWriters();
    const first = proposal(0, keys);
    const second = proposal(0, keys, { lsn: lsn(first.lsn + 1), previous: first.lsn });
    const tell = (facts: Fact[], truncated: Vector): void =>
      void node.receive({ kind: 'facts', facts, decisions: [], truncated });
    tell([{ outcome: 'commit', proposal: second }], {});
    expect(node.state.reached[0]).toBe(first.previous);
    tell([], { 0: first.lsn });
    expect(node.state.reached[0]).toBe(second.lsn);
  });

  it('tells who is far behind as much as a message holds, and the rest when it is asked again', () => {
    const node = nodeWithWriters();
    const payload = 'x'.repeat(1_500_000);
    const all = [...Array(5).keys()].map((i) =>
      proposal(0, keys, { lsn: lsn(FIRST_LSN + i), previous: lsn(FIRST_LSN + i - 1), payload }),
    );
    all.push(
      proposal(0, keys, {
        lsn: lsn(FIRST_LSN + 5),
        previous: lsn(FIRST_LSN + 4),
        payload: payload.repeat(4),
      }),
    );
    const facts = all.map((one) => ({ outcome: 'commit', proposal: one }) as const);
    node.receive({ kind: 'facts', facts: facts.toReversed(), decisions: [], truncated: {} });
    const fetched = (after: number): number[] => {
      const [answer] = answersOf(node.receive({ kind: 'fetch', after: { 0: lsn(after) }, slot: 2 }));
      return answer?.kind === 'facts' ? answer.facts.map((fact) => lsnOf(fact) - FIRST_LSN) : [];
    };
    expect(fetched(FIRST_LSN - 1)).toEqual([0, 1]);
    expect(fetched(FIRST_LSN + 1)).toEqual([2, 3]);
    expect(fetched(FIRST_LSN + 4)).toEqual([5]);
  });

  it('a writer that lacks what is forgotten stops', () => {
    const writer = new Writer(1, 1, DEFAULT_QUORUMS, {}, [0, 1]);
    const { effects } = writer.receive({
      ...{ kind: 'facts', facts: [], decisions: [] },
      truncated: { 0: proposal(0, keys).lsn },
    });
    expect(effects).toEqual([{ kind: 'left-behind' }]);
    expect(writer.state).toBe('fenced');
  });

  it('lets nothing pass that has not seen what it forgot: no vote, and no verdict either', () => {
    const node = nodeWithWriters();
    const first = proposal(0, keys);
    node.receive({
      kind: 'facts',
      facts: [{ outcome: 'commit', proposal: first }],
      decisions: [],
      truncated: {},
    });
    for (const writer of [0, 1])
      node.receive({ kind: 'horizon', writer, vector: node.state.reached, writers: [0, 1] });
    expect(node.state.entries.size).toBe(0);
    expect(voteOf(node, proposal(1, keys))).toMatchObject({ refusal: { kind: 'too-old' } });
    const seal = {
      kind: 'seal',
      epoch: 1,
      round: 1,
      slot: 2,
      proposals: [proposal(1, keys)],
      fence: null,
    } as const;
    expect(answersOf(node.receive(seal))).toMatchObject([
      { kind: 'sealed', tooOld: [proposal(1, keys).lsn] },
    ]);
  });

  it('does not hold a proposal that comes after it was forgotten: nobody would settle it', () => {
    const node = nodeWithWriters();
    const late = proposal(0, keys);
    node.receive({ kind: 'facts', facts: [], decisions: [], truncated: { 0: late.lsn } });
    expect(voteOf(node, late)).toMatchObject({ refusal: { kind: 'too-old' } });
    expect(node.state.undecided.size + node.state.entries.size).toBe(0);
  });

  it('does not answer a primary who knows decisions that it does not know, and asks for them', () => {
    const node = nodeWithWriters();
    const output = node.receive({ kind: 'seal', epoch: 1, round: 1, slot: 3, proposals: [], fence: null });
    expect(answersOf(output)).toEqual([]);
    expect(output.sends).toMatchObject([{ to: 'peers', message: { kind: 'fetch', slot: 2 } }]);
  });

  it('is, after a restart, what its records say, and what its snapshot says', () => {
    const records = [...Array(2).keys()].map((writer) => ({
      kind: 'chosen' as const,
      slot: writer + 1,
      decision: opens(writer, 1),
    }));
    const node = new StorageNode('s1', records);
    const { records: voted } = node.receive({ kind: 'propose', proposal: proposal(0, keys) });
    const again = new StorageNode('s1', [...records, ...voted]);
    expect(again.state.snapshot()).toEqual(node.state.snapshot());
    const restored = new StorageNode('s1', [{ kind: 'snapshot', snapshot: node.state.snapshot() }]);
    expect(restored.state.snapshot()).toEqual(node.state.snapshot());
    expect(voteOf(restored, proposal(1, keys))).toMatchObject({ refusal: { kind: 'conflict' } });
  });
});

describe('who asks the primary about what nobody settles', () => {
  const large = 'x'.repeat(3 * 1024 * 1024);
  const asks = ({ sends }: { readonly sends: readonly { to: string }[] }): boolean =>
    sends.some(({ to }) => to === 'primary');
  /** Those of so many ticks at which it does. */
  const ticksOf = (count: number, tick: (n: number) => Parameters<typeof asks>[0]): number[] =>
    Array.from({ length: count }, (_, n) => n + 1).filter((n) => asks(tick(n)));

  it('a node, less often each time, and later about a large one', () => {
    for (const [payload, ticks] of [
      ['', [3, 6, 12, 24, 48]],
      [large, [12, 24, 48]],
    ] as const) {
      const node = nodeWithWriters();
      voteOf(node, proposal(0, [], { payload }));
      expect(ticksOf(50, () => node.tick())).toEqual(ticks);
    }
  });

  it('a writer, which waits for the votes of a large one, and not once a quorum has voted', () => {
    const opened = (payload: string): Writer => {
      const writer = new Writer(0, 1, DEFAULT_QUORUMS, {});
      writer.receive({
        kind: 'facts',
        facts: [],
        decisions: [{ slot: 1, decision: opens(0, 1) }],
        truncated: {},
      });
      expect(writer.submit({ base: {}, keys: [], payload, retries: 0, priority: 0 })).not.toBeNull();
      return writer;
    };
    const small = opened('');
    expect(ticksOf(20, () => small.tick({}))).toEqual([2, 4, 8, 16]);
    const slow = opened(large);
    expect(ticksOf(20, () => slow.tick({}))).toEqual([8, 16]);
    const voted = opened(large);
    const vote = (node: string): void => {
      voted.receive({ kind: 'vote', node, lsn: FIRST_LSN, refusal: null });
    };
    expect(
      ticksOf(10, (n) => {
        if (n === 4) vote('s1');
        if (n === 6) vote('s2');
        return voted.tick({});
      }),
    ).toEqual([7, 9]);
  });
});

describe('the judgement', () => {
  const one = proposal(1, [{ key: 'k', mode: 'update' }]);
  const reply = (node: string, accepted: boolean): Sealed => ({
    kind: 'sealed',
    node,
    epoch: 1,
    round: 1,
    standings: [{ proposal: one, accepted, outcome: null }],
    blocked: [],
    tooOld: [one.lsn],
    reached: lsn(0),
    commits: [],
  });
  it.each([
    [true, 'commit', 'possibly-chosen'],
    [false, 'abort', 'too-old'],
  ])('on a base that is too old, accepted by those heard: %s, is %s', (accepted, outcome, kind) => {
    const replies = ['s1', 's2'].map((node) => reply(node, accepted));
    const options = { quorums: DEFAULT_QUORUMS, policy: 'first', rules: RULES, abandonedBy: null } as const;
    expect(judge([one], replies, options)).toMatchObject([{ outcome, reason: { kind } }]);
  });

  it('what was acknowledged, and its writer has told one node alone before it died, stays, though one that has seen it has committed', () => {
    const keys: KeyUse[] = [{ key: 'k', mode: 'exclusive' }];
    const first = proposal(0, keys);
    const second = proposal(1, keys, { base: { 0: first.lsn } });
    const replies = ['s2', 's3'].map(() => {
      const node = nodeWithWriters();
      for (const each of [first, second]) expect(voteOf(node, each)).toMatchObject({ refusal: null });
      node.receive({ kind: 'committed', lsn: second.lsn });
      const seal = { kind: 'seal', epoch: 1, round: 1, slot: 2, proposals: [first], fence: null } as const;
      return answersOf(node.receive(seal))[0] as Sealed;
    });
    const options = { quorums: DEFAULT_QUORUMS, policy: 'first', rules: RULES, abandonedBy: 0 } as const;
    expect(judge([first], replies, options)).toMatchObject([
      { outcome: 'commit', reason: { kind: 'possibly-chosen' } },
    ]);
  });
});

it('a new primary proposes again what was accepted last, before anything else', () => {
  const adjudicator = new Adjudicator(DEFAULT_QUORUMS, 'first');
  adjudicator.lead(3);
  const accepted = (epoch: number, incarnation: number) => ({
    slot: 1,
    epoch,
    decision: opens(0, incarnation),
  });
  const promise = (node: string, open: ReturnType<typeof accepted>[]) =>
    ({ kind: 'promise', node, epoch: 3, summary: EMPTY_SUMMARY, open }) as const;
  adjudicator.receive(promise('s1', [accepted(1, 1)]));
  const { sends } = adjudicator.receive(promise('s2', [accepted(2, 2)]));
  expect(sends).toMatchObject([
    { to: 'nodes', message: { kind: 'decide', slot: 1, decision: { incarnation: 2 } } },
  ]);
});
