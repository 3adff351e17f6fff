/** Random messages, with kills and torn ends and rewrites between them: the node that reads its log is the one that was never killed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  lsn,
  type NodeRecord,
  type Proposal,
  StorageNode,
  type ToNode,
} from '../../../src/multiwriter/protocol/index.js';
import { BLOCK_LSNS, FIRST_LSN } from '../../../src/multiwriter/protocol/lsn.js';
import { frame } from '../../../src/multiwriter/storage/frames.js';
import { LogFile } from '../../../src/multiwriter/storage/log-file.js';
import { MEMORY } from './nodes.js';

type Event = ToNode | { readonly kind: 'kill'; readonly tornBytes: number } | { readonly kind: 'rewrite' };

const proposal: fc.Arbitrary<Proposal> = fc
  .record({ writer: fc.nat(1), at: fc.nat(8), key: fc.constantFrom('a', 'b', 'c'), payload: fc.string() })
  .map(({ writer, at, key, payload }) => ({
    lsn: lsn(FIRST_LSN + writer * BLOCK_LSNS + at),
    previous: lsn(at === 0 ? FIRST_LSN - 1 : FIRST_LSN + writer * BLOCK_LSNS + at - 1),
    incarnation: 1,
    base: {},
    keys: [{ key, mode: 'update' }],
    payload,
    retries: 0,
    priority: 0,
  }));
const epoch = fc.integer({ min: 1, max: 4 });
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 5, arbitrary: proposal.map((one): Event => ({ kind: 'propose', proposal: one })) },
  {
    weight: 2,
    arbitrary: proposal.map((one): Event => ({
      kind: 'facts',
      facts: [{ outcome: 'commit', proposal: one }],
      decisions: [],
      truncated: {},
    })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(epoch, fc.array(proposal, { maxLength: 2 })).map(([at, proposals]): Event => ({
      kind: 'seal',
      epoch: at,
      round: 1,
      slot: 2,
      proposals,
      fence: null,
    })),
  },
  { weight: 1, arbitrary: epoch.map((at): Event => ({ kind: 'prepare', epoch: at })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(epoch, fc.integer({ min: 3, max: 5 }))
      .map(([at, slot]): Event => ({ kind: 'decide', epoch: at, slot, decision: { kind: 'raise' } })),
  },
  { weight: 2, arbitrary: fc.nat(40).map((tornBytes): Event => ({ kind: 'kill', tornBytes })) },
  { weight: 1, arbitrary: fc.constant<Event>({ kind: 'rewrite' }) },
);

const beginning: ToNode = {
  kind: 'facts',
  facts: [],
  decisions: [0, 1].map((writer) => ({
    slot: writer + 1,
    decision: {
      kind: 'open',
      incarnation: 1,
      closing: { writer, after: lsn(0), from: FIRST_LSN, commits: [] },
      rulings: [],
    },
  })),
  truncated: {},
};

it('a node that reads its log is the node that was never killed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 60 }), async (events) => {
      const directory = await mkdtemp(join(MEMORY, 'dbproxy-store-'));
      const immortal = new StorageNode('s1');
      let node = new StorageNode('s1');
      let log = await LogFile.create<NodeRecord>(directory, 'test', 's1');
      const hear = async (message: ToNode): Promise<void> => {
        const { records, sends } = node.receive(message);
        expect(immortal.receive(message)).toEqual({ records, sends });
        if (records.length > 0) await log.append(records);
      };
      try {
        for (const one of [beginning, ...events]) {
          if (one.kind === 'kill') {
            await log.close();
            const torn = frame(Buffer.from(JSON.stringify({ kind: 'promise', epoch: 99 }))).subarray(
              0,
              one.tornBytes,
            );
            await writeFile(join(directory, 'log'), torn, { flag: 'a' });
            const found = await LogFile.open<NodeRecord>(directory, 'test', 's1');
            log = found!.log;
            node = new StorageNode('s1', found!.records);
            expect(node.state.snapshot()).toEqual(immortal.state.snapshot());
          } else if (one.kind === 'rewrite') {
            await log.rewrite([{ kind: 'snapshot', snapshot: node.state.snapshot() }]);
          } else await hear(one);
        }
      } finally {
        await log.close();
        await rm(directory, { recursive: true });
      }
    }),
    { seed: 20_261_124, numRuns: 100 },
  );
});
