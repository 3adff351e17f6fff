import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogEvent } from '../../src/control/api.js';
import { EventLog } from '../../src/control/event-log.js';

let home: string;
let file: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dbpev-'));
  file = join(home, 'events.ndjson');
});
afterEach(() => rm(home, { recursive: true, force: true }));

const seqs = (events: readonly LogEvent[]): number[] => events.map(({ seq }) => seq);

test('counts from 1, and goes on where the last writer left off', async () => {
  const first = await EventLog.open(file);
  first.append('a', 'one');
  first.append('a', 'two', { n: 2 });
  await first.flush();
  const second = await EventLog.open(file);
  expect(second.append('a', 'three').seq).toBe(3);
  const events = await second.since(0);
  expect(seqs(events)).toEqual([1, 2, 3]);
  expect(events[1]).toMatchObject({ type: 'a', message: 'two', data: { n: 2 } });
  expect(seqs(await second.since(2))).toEqual([3]);
});

test('a line torn by a crash is skipped, and does not swallow the next one', async () => {
  const first = await EventLog.open(file);
  first.append('a', 'whole');
  await first.flush();
  await appendFile(file, '{"seq":2,"at":"2026');
  const second = await EventLog.open(file);
  expect(second.append('a', 'after').seq).toBe(2);
  expect((await second.since(0)).map(({ message }) => message)).toEqual(['whole', 'after']);
  expect(await readFile(file, 'utf8')).toContain('{"seq":2,"at":"2026\n');
});

test('a follower gets every event once and in order, also those that come while it reads', async () => {
  const log = await EventLog.open(file);
  for (let i = 1; i <= 50; i++) log.append('a', `${i}`);
  const stop = new AbortController();
  const seen: LogEvent[] = [];
  const following = log.follow(10, stop.signal, (event) => {
    seen.push(event);
    if (event.seq === 100) stop.abort();
  });
  for (let i = 51; i <= 100; i++) {
    log.append('a', `${i}`);
    if (i % 10 === 0) await log.flush();
  }
  await following;
  expect(seqs(seen)).toEqual(Array.from({ length: 90 }, (_, i) => i + 11));
});
