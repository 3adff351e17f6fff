/** Do all writers hold the same rows? Of tables that nobody writes meanwhile: what moves cannot be compared. */
import { setTimeout as delay } from 'node:timers/promises';
import type { WriterClient } from './clients.js';

/** The last commits have to be applied everywhere first. */
const WITHIN_MS = 20_000;
const POLL_MS = 100;

type Sums = ReadonlyMap<string, string>;

/** Names of the tables that differ, and stay different; empty: all writers agree. */
export async function divergedTables(
  observers: readonly WriterClient[],
  signal: AbortSignal,
): Promise<string[]> {
  const end = performance.now() + WITHIN_MS;
  let before = await Promise.all(observers.map(sumsOf));
  for (;;) {
    await delay(POLL_MS);
    const after = await Promise.all(observers.map(sumsOf));
    const differing = tablesOf(after).filter((table) => {
      const rests = after.every((sums, index) => sums.get(table) === before[index]?.get(table));
      return rests && new Set(after.map((sums) => sums.get(table))).size > 1;
    });
    if (differing.length === 0 || performance.now() > end || signal.aborted) return differing;
    before = after;
  }
}

async function sumsOf(observer: WriterClient): Promise<Sums> {
  const rows = await observer.query<{ table: string; rows: string; sum: string }>(
    'select * from dbproxy.checksums()',
  );
  return new Map(rows.map(({ table, rows: count, sum }) => [table, `${count} rows, ${sum}`]));
}

const tablesOf = (all: readonly Sums[]): string[] =>
  [...new Set(all.flatMap((sums) => [...sums.keys()]))].sort();
