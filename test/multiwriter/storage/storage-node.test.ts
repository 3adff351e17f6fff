/** Storage nodes as processes: what they said is on their disk, whatever kills them; what they cannot keep they do not say. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import type { StoreApi } from '../../../src/multiwriter/storage/api.js';
import { RpcClient } from '../../../src/rpc/index.js';
import { eventually } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { TestStore, TestWriter, update, type TestNode } from './nodes.js';

let store: TestStore;
let writers: TestWriter[] = [];
const node = (at: number): TestNode => store.nodes[at]!;
const writer = (id: number, incarnation: number, primary: number | TestWriter): Promise<TestWriter> => {
  const made = new TestWriter(store.links, id, incarnation, primary);
  writers.push(made);
  return made.opened();
};
const commits = async (by: TestWriter, key: string): Promise<void> => {
  expect(await by.outcome(by.propose(update(key)))).toBe('commit');
};
const caughtUp = (slow: TestNode, with_: TestNode): Promise<true> =>
  eventually(`${slow.config.node} to catch up`, async () => {
    const [a, b] = await Promise.all([slow.status(), with_.status()]);
    return a.entries === b.entries && a.slot === b.slot && a.undecided === 0 ? true : null;
  });

afterEach(async () => {
  for (const one of writers) one.close();
  writers = [];
  await store.close();
});

describe('three nodes', () => {
  beforeEach(async () => {
    store = await TestStore.start();
  });

  it('commit in one round of votes; of two that collide one wins, and the other writer applies it', async () => {
    const first = await writer(0, 1, 1);
    const second = await writer(1, 1, first);
    const base = second.reached;
    await commits(first, 'a');
    const lost = second.propose(update('a'), '', base);
    expect(await second.outcome(lost)).toBe('abort');
    await eventually('the commit on the other writer', () => second.applied.length === 1);
    expect(await second.outcome(second.propose(update('a')))).toBe('commit');
    await eventually('and back', () => first.applied.length === 1);
  });

  it('sync once for many votes', async () => {
    const one = await writer(0, 1, 1);
    const before = (await node(0).status()).syncs;
    const lsns = Array.from({ length: 200 }, (_, i) => one.propose(update(`k${i}`)));
    for (const lsn of lsns) expect(await one.outcome(lsn)).toBe('commit');
    // The others may have been enough.
    const { syncs } = await eventually('all of them', async () => {
      const status = await node(0).status();
      return status.entries === 200 ? status : null;
    });
    expect(syncs - before).toBeLessThan(60);
  });

  it('go on with one of them away, which catches up when it is back, and votes again', async () => {
    const one = await writer(0, 1, 1);
    await commits(one, 'before');
    await node(2).kill();
    // Unanimity is out of reach: the primary decides.
    for (let i = 0; i < 5; i++) await commits(one, `k${i}`);
    node(2).spawn({ isNew: false });
    await node(2).is('in-service');
    await caughtUp(node(2), node(0));
    const before = (await node(2).status()).position;
    await commits(one, 'after');
    await eventually('its vote', async () => ((await node(2).status()).position > before ? true : null));
  });

  it('stop committing when a second is away, and commit what was open when it is back', async () => {
    const one = await writer(0, 1, 1);
    await commits(one, 'before');
    await node(1).kill();
    await node(2).kill();
    const open = one.propose(update('k'));
    await eventually('its vote', async () => ((await node(0).status()).undecided === 1 ? true : null));
    expect(one.outcomes.has(open)).toBe(false);
    node(1).spawn({ isNew: false });
    expect(await one.outcome(open)).toBe('commit');
  });

  it('forget what every writer has, and come back from the shorter log', async () => {
    const one = await writer(0, 1, 1);
    one.letsForget = true;
    const payload = 'x'.repeat(200_000);
    for (let i = 0; i < 60; i++) await one.outcome(one.propose(update(`k${i}`), payload));
    const short = await eventually('the log to be rewritten', async () => {
      const status = await node(0).status();
      return status.entries === 0 && status.logBytes < 60 * payload.length - 1_000_000 ? status : null;
    });
    await node(0).kill();
    node(0).spawn({ isNew: false });
    const back = await node(0).is('in-service');
    expect(back.position).toBeGreaterThanOrEqual(short.position);
    expect(back.slot).toBe(short.slot);
    await commits(one, 'k0');
  });

  it.each(['store.received', 'store.written', 'store.synced', 'store.told'])(
    'killed at %s, a node has what it said, and nothing that was acknowledged is lost',
    async (point) => {
      const one = await writer(0, 1, 1);
      await commits(one, 'before');
      await node(0).kill();
      const pause = new Pause(point, node(0).config.directory);
      node(0).spawn({ isNew: false }, pause.env);
      await node(0).is('in-service');
      const open = one.propose(update('k'));
      await pause.reached();
      await node(0).kill();
      expect(await one.outcome(open)).toBe('commit');
      node(0).spawn({ isNew: false });
      await node(0).is('in-service');
      await caughtUp(node(0), node(1));
      one.close();
      // A writer with an empty engine gets everything from any node alone.
      const next = await writer(0, 2, 2);
      expect([...next.applied].sort()).toEqual([...one.outcomes.keys()].sort());
    },
  );

  it('refuse yesterday’s data, and a directory without the votes', async () => {
    const one = await writer(0, 1, 1);
    await commits(one, 'a');
    const { directory } = node(0).config;
    await node(0).kill();
    await cp(directory, `${directory}.old`, { recursive: true });
    node(0).spawn({ isNew: false });
    await node(0).is('in-service');
    for (let i = 0; i < 3; i++) await commits(one, `k${i}`);
    const { position } = await node(0).status();
    await eventually('the others to have heard of it', async () => {
      const remembered = await readFile(join(node(1).config.directory, 'peers.json'), 'utf8').catch(
        () => '{}',
      );
      return ((JSON.parse(remembered) as { s1?: number }).s1 ?? 0) >= position ? true : null;
    });
    await node(0).kill();

    const code = await node(0).startFails({ isNew: false, directory: `${directory}.old` });
    expect(code).toBe(4);
    expect(node(0).stderr).toMatch(/^DBP_STORE_OLD_DATA: /);

    await mkdir(`${directory}.empty`);
    const empty = await node(0).startFails({ isNew: false, directory: `${directory}.empty` });
    expect(empty).toBe(4);
    expect(node(0).stderr).toMatch(/^DBP_STORE_LOST: /);
    await commits(one, 'z');
  });

  it('a damaged log stops its node with an error that names it; the others go on', async () => {
    const one = await writer(0, 1, 1);
    await commits(one, 'a');
    await node(0).kill();
    const log = join(node(0).config.directory, 'log');
    const bytes = await readFile(log);
    bytes[bytes.length >> 1] = bytes[bytes.length >> 1]! ^ 4;
    await writeFile(log, bytes);
    const code = await node(0).startFails({ isNew: false });
    expect(code).toBe(4);
    expect(node(0).stderr).toMatch(/^DBP_STORE_DAMAGED: .*\/log is damaged/);
    await commits(one, 'b');
  });
});

it('refuses sizes that could lose a commit', async () => {
  store = await TestStore.prepare({ nodes: 3, fast: 2, classic: 2 });
  const code = await node(0).startFails();
  expect(code).toBe(2);
  expect(node(0).stderr).toMatch(/^DBP_STORE_QUORUMS: quorums 3\/2\/2 are refused/);
});

describe('a full disk', () => {
  let mounted = '';
  afterEach(() => {
    if (mounted) execFileSync('umount', ['-l', mounted]);
    mounted = '';
  });

  const onSmallDisk = async (context: TestContext): Promise<void> => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      context.skip('mounting a small disk needs root');
    store = await TestStore.prepare();
    const { directory } = node(0).config;
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', directory]);
    mounted = directory;
    for (const one of store.nodes) one.spawn();
    await Promise.all(store.nodes.map((one) => one.is('in-service')));
  };
  const fill = async (path: string): Promise<void> => {
    const file = await open(path, 'wx');
    const page = Buffer.alloc(4_096, 1);
    const write = (): Promise<boolean> =>
      file.write(page).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          expect(error.code).toBe('ENOSPC');
          return false;
        },
      );
    while (await write());
    await file.close();
  };

  it('stops the votes of its node, which says why, and votes again when there is room', async (context) => {
    await onSmallDisk(context);
    const { directory } = node(0).config;
    const one = await writer(0, 1, 1);
    await commits(one, 'a');
    await writeFile(join(directory, 'ballast'), Buffer.alloc(2_900_000));
    expect(await one.outcome(one.propose(update('b'), 'x'.repeat(500_000)))).toBe('commit');
    const { service } = await node(0).is('out-of-service');
    expect(service).toMatchObject({ why: expect.stringContaining('no space left') as string });
    await commits(one, 'c');

    await rm(join(directory, 'ballast'));
    await node(0).is('in-service');
    await caughtUp(node(0), node(1));
    await commits(one, 'd');
  });

  it('has no room for what its peers told either, which is written when there is room', async (context) => {
    await onSmallDisk(context);
    const { directory } = node(0).config;
    await fill(join(directory, 'ballast'));
    const rpc = await RpcClient.connect<StoreApi>(node(0).config.socket);
    let position = 0;
    const hear = (): Promise<unknown> => rpc.call('hello', { node: 's9', position: ++position });
    // Each is for the next tick to write: more of them than one tick can take.
    await eventually('some ticks to have passed', async () => {
      await hear();
      return position >= 100 ? true : null;
    });
    rpc.close();
    expect((await node(0).status()).service).toEqual({ kind: 'in-service' });
    await rm(join(directory, 'ballast'));
    await eventually('what was heard to be on the disk', async () => {
      const text = await readFile(join(directory, 'peers.json'), 'utf8').catch(() => '{}');
      return (JSON.parse(text) as { s9?: number }).s9 === position ? true : null;
    });
  });
});
