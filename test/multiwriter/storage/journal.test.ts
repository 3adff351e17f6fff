/** The journal on a real log: what is told is on disk, and the log is replaced while work goes on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NodeRecord } from '../../../src/multiwriter/protocol/index.js';
import { Journal } from '../../../src/multiwriter/storage/journal.js';
import { LogFile } from '../../../src/multiwriter/storage/log-file.js';

/** The journal does not look into records. */
const record = (name: string): NodeRecord => ({ name }) as unknown as NodeRecord;
const names = (records: readonly NodeRecord[]): string[] =>
  records.map((each) => (each as unknown as { name: string }).name);

let directory: string;
let log: LogFile<NodeRecord>;
let failure: Error | null;
let journal: Journal;
/** As a machine does it: in memory everything that was pushed, on disk or not. */
let state: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dbproxy-journal-'));
  log = await LogFile.create<NodeRecord>(directory, 'shop', 's1');
  [failure, state] = [null, []];
  journal = new Journal(log, (error) => (failure = error));
});
afterEach(async () => {
  await log.close();
  await rm(directory, { recursive: true });
});

const push = (name: string): Promise<void> =>
  new Promise((resolve) => {
    state.push(name);
    journal.push({ output: { records: [record(name)], sends: [] }, release: () => resolve() });
  });
const snapshot = async (records: number): Promise<boolean> => {
  await log.rewrite([record(`all of ${state.join(' ')}`)], records);
  return true;
};
const onDisk = async (): Promise<{ records: string[]; position: number }> => {
  const found = (await LogFile.open<NodeRecord>(directory, 'shop', 's1'))!;
  await found.log.close();
  return { records: names(found.records), position: found.log.position };
};

describe('the journal', () => {
  it('writes what is held as part of what replaces the log, once, and its position counts it', async () => {
    await push('a');
    const held = [push('b'), push('c')];
    journal.replaceLog(snapshot);
    await Promise.all(held);
    expect(await onDisk()).toEqual({ records: ['all of a b c'], position: 3 });
    await push('d');
    expect(await onDisk()).toEqual({ records: ['all of a b c', 'd'], position: 4 });
    expect(failure).toBeNull();
  });

  it('replaces the log under a load that never pauses, and nothing that was told is missing', async () => {
    let replaced = 0;
    for (let wave = push('0'), n = 1; n <= 40; n++) {
      // The next is there before the one before is on disk.
      const next = push(String(n));
      if (n % 10 === 0)
        journal.replaceLog(async (records) => {
          replaced++;
          return snapshot(records);
        });
      await wave;
      const { records } = await onDisk();
      const told = String(n - 1);
      expect(records.some((each) => each.split(' ').includes(told))).toBe(true);
      wave = next;
      if (n === 40) await wave;
    }
    expect(replaced).toBe(4);
    const { records, position } = await onDisk();
    expect(position).toBe(41);
    expect(records.length).toBeLessThan(12);
  });

  it('says at once what a writer says that has counted the votes, and writes it with the next, or at the end', async () => {
    const committed = (lsn: number): Promise<unknown> => {
      const records = [{ kind: 'outcome', lsn, outcome: 'commit' }] as unknown as NodeRecord[];
      return new Promise((release) => journal.push({ output: { records, sends: [] }, release }));
    };
    const outcomes = async (): Promise<unknown[]> => {
      const found = (await LogFile.open<NodeRecord>(directory, 'shop', 's1'))!;
      await found.log.close();
      return found.records.map((each) => ('lsn' in each ? each.lsn : names([each])[0]));
    };
    await committed(1);
    expect(await outcomes()).toEqual([]);
    await push('a');
    expect(await outcomes()).toEqual([1, 'a']);
    // While one is being written, too; and nothing is synced for it alone.
    const held = push('b');
    await committed(2);
    await held;
    const { syncs } = journal;
    await committed(3);
    await new Promise(setImmediate);
    expect(journal.syncs).toBe(syncs);
    await journal.close();
    expect(await outcomes()).toEqual([1, 'a', 'b', 2, 3]);
  });

  it('goes on with the log as it is when there is no room for another', async () => {
    await push('a');
    const held = push('b');
    journal.replaceLog(() => Promise.resolve(false));
    await held;
    expect(await onDisk()).toEqual({ records: ['a', 'b'], position: 2 });
  });

  it('replaces the log when nothing is held, and says nothing more after a failure', async () => {
    await push('a');
    await new Promise<void>((resolve) =>
      journal.replaceLog(async (records) => {
        await snapshot(records);
        resolve();
        return true;
      }),
    );
    expect(await onDisk()).toEqual({ records: ['all of a'], position: 1 });
    const told: unknown[] = [];
    const sends = [{ to: 'sender' }] as never;
    const released = new Promise<void>((resolve) =>
      journal.push({
        output: { records: [record('b')], sends },
        release: (what) => {
          told.push(...what);
          resolve();
        },
      }),
    );
    journal.replaceLog(() => Promise.reject(new Error('the disk is gone')));
    await released;
    expect(told).toEqual([]);
    expect(failure?.message).toBe('the disk is gone');
  });
});
