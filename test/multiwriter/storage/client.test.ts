/** A writer's way to a node that is at work: what comes meanwhile goes out together, in its order, and nobody is kept from asking. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lsn, type Proposal, type ToNode } from '../../../src/multiwriter/protocol/index.js';
import type { StoreApi } from '../../../src/multiwriter/storage/api.js';
import { StoreClient } from '../../../src/multiwriter/storage/client.js';
import { RpcServer } from '../../../src/rpc/index.js';
import { eventually } from '../../support/clients.js';

interface Told {
  readonly messages: readonly ToNode[];
  readonly answer: () => void;
}

let directory: string;
let server: RpcServer<StoreApi>;
let told: Told[];
let client: StoreClient;
let votes: number[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dbproxy-client-'));
  [told, votes] = [[], []];
  const never = (): Promise<null> => new Promise(() => undefined);
  server = new RpcServer<StoreApi>({
    tell: (messages) =>
      new Promise((resolve) => {
        const answer = (): void =>
          resolve(
            messages.flatMap((message) =>
              message.kind === 'propose'
                ? [{ kind: 'vote', node: 's1', lsn: message.proposal.lsn, refusal: null } as const]
                : [],
            ),
          );
        told.push({ messages, answer });
      }),
    follow: never,
    read: never,
    hello: () => ({ position: 0 }),
    status: () => Promise.reject(new Error('not asked here')),
    holdBack: () => null,
    shutdown: () => null,
  });
  const socket = join(directory, 's1.sock');
  await server.listen(socket, () => undefined);
  let isReachable = false;
  client = new StoreClient([{ node: 's1', socket }], {
    answer: (_node, message) => void (message.kind === 'vote' && votes.push(message.lsn)),
    news: () => undefined,
    reachable: (_node, now) => (isReachable = now),
  });
  await eventually('the connection', () => isReachable);
});

afterEach(async () => {
  client.close();
  await server.close();
  await rm(directory, { recursive: true });
});

const propose = (at: number, payload = ''): void => {
  const proposal = { lsn: lsn(at), payload } as Proposal;
  client.toAll({ kind: 'propose', proposal });
};
const lsns = ({ messages }: Told): number[] =>
  messages.map((message) =>
    message.kind === 'propose'
      ? message.proposal.lsn
      : message.kind === 'committed'
        ? -Number(message.lsn)
        : NaN,
  );
const turn = (n: number): Promise<unknown> => eventually(`call ${n}`, () => told.length >= n);

it('what comes in one turn of the loop, and what comes while the node is at work', async () => {
  propose(1);
  propose(2);
  await turn(1);
  client.toAll({ kind: 'committed', lsn: lsn(1) });
  propose(3);
  propose(3);
  // The primary's questions go past them.
  client.toAll({ kind: 'prepare', epoch: 1 });
  await turn(2);
  expect(told[1]!.messages).toEqual([{ kind: 'prepare', epoch: 1 }]);
  expect(lsns(told[0]!)).toEqual([1, 2]);
  told[0]!.answer();
  await turn(3);
  expect(lsns(told[2]!)).toEqual([-1, 3]);
  told[2]!.answer();
  await eventually('the votes', () => votes.length === 3);
  expect(votes).toEqual([1, 2, 3]);
  // Answered, it may be asked again.
  propose(3);
  await turn(4);
  expect(lsns(told[3]!)).toEqual([3]);
});

it('not more at once than a connection takes well', async () => {
  const large = 'x'.repeat(700_000);
  propose(1, large);
  await turn(1);
  for (const at of [2, 3, 4]) propose(at, large);
  propose(5);
  for (const [n, expected] of [[2], [3], [4, 5]].entries()) {
    told[n]!.answer();
    await turn(n + 2);
    expect(lsns(told[n + 1]!)).toEqual(expected);
  }
});

it('one node is asked for what is missing, and not another time while it is at it', async () => {
  const fetch = { kind: 'fetch', after: {}, slot: 0 } as const;
  client.toOne(fetch);
  await turn(1);
  client.toOne(fetch);
  client.toAll({ kind: 'prepare', epoch: 1 });
  await turn(2);
  expect(told[1]!.messages).toEqual([{ kind: 'prepare', epoch: 1 }]);
  told[0]!.answer();
  await eventually('it to be asked again', () => {
    client.toOne(fetch);
    return told.length === 3;
  });
});
