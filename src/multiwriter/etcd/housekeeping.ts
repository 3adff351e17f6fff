/** What nobody needs any more: removed by the primary; and what a dead incarnation has left, by its successor. */
import { highest, includes, lowest, type Vector, type WriterId } from '../protocol/index.js';
import { endOf, type Compare, type EtcdClient, type Operation } from './client.js';
import { lsnAt, type EntryName, type Layout } from './layout.js';
import { readPlace } from './own-place.js';

/** Entries of one transaction: each is removed with its pieces. */
const ENTRIES_TOGETHER = 60;
const MARKS_TOGETHER = 100;

/** Up to where entries may be missing, and since when. Throws what the client throws. */
export async function readTruncated(
  client: EtcdClient,
  layout: Layout,
): Promise<{ truncated: Vector; changedAt: number }> {
  const [found] = (await client.get(layout.truncated)).found;
  const truncated = found ? (JSON.parse(found.value.toString('utf8')) as Vector) : {};
  return { truncated, changedAt: found?.revision ?? 0 };
}

/**
 * Removes the entries that all writers have on disk and that no transaction looks behind, with their marks. A writer that has never
 * been there keeps all of it. Throws what the client throws.
 */
export async function truncate(
  client: EtcdClient,
  layout: Layout,
  writers: readonly WriterId[],
): Promise<void> {
  const keys = writers.map((writer) => ({ get: layout.writer(writer) }));
  const { found } = await client.txn({ then: keys });
  const horizons = found.map(([place]) => (place ? readPlace(place).horizon : {}));
  const floor = horizons.reduce(lowest);
  const { truncated: before, changedAt } = await readTruncated(client, layout);
  const truncated = highest(before, floor);
  // Said before it is done: whoever comes late has to know. It only grows, also where two believe that they lead.
  if (JSON.stringify(truncated) !== JSON.stringify(before)) {
    const { succeeded } = await client.txn({
      if: [{ key: layout.truncated, changedAt }],
      then: [{ put: layout.truncated, value: JSON.stringify(truncated) }],
    });
    if (!succeeded) return;
  }
  const upTo = await removeEntries(client, layout, truncated);
  await removeMarks(client, layout, upTo);
}

/** Returns the revision up to which there are no entries left. */
async function removeEntries(client: EtcdClient, layout: Layout, truncated: Vector): Promise<number> {
  const entries: { name: EntryName; revision: number }[] = [];
  let reached = 0;
  for await (const { found, revision } of client.pages(layout.entries)) {
    reached = revision;
    for (const one of found) {
      const name = layout.nameOf(one.key);
      if (name) entries.push({ name, revision: one.revision });
    }
  }
  const isOver = (one: { name: EntryName; revision: number }): boolean =>
    includes(truncated, lsnAt(one.revision, one.name.writer));
  const over = entries.filter(isOver);
  for (let from = 0; from < over.length; from += ENTRIES_TOGETHER) {
    const some = over.slice(from, from + ENTRIES_TOGETHER);
    await client.txn({ then: some.flatMap(({ name }) => removalOf(layout, name)) });
  }
  const left = entries.filter((one) => !isOver(one));
  return left.reduce((least, one) => Math.min(least, one.revision - 1), reached);
}

const removalOf = (layout: Layout, name: EntryName): Operation[] => {
  const pieces = layout.pieces(name);
  return [{ remove: layout.entry(name) }, { remove: pieces, end: endOf(pieces) }];
};

/** Those of entries up to that revision. One that is used again meanwhile stays, and with it those of its batch, until next time. */
async function removeMarks(client: EtcdClient, layout: Layout, upTo: number): Promise<void> {
  for await (const { found } of client.pages(layout.marks)) {
    const old = found.filter(({ revision }) => revision <= upTo);
    for (let from = 0; from < old.length; from += MARKS_TOGETHER) {
      const some = old.slice(from, from + MARKS_TOGETHER);
      const unchanged = some.map(({ key }): Compare => ({ key, changedBefore: upTo + 1 }));
      await client.txn({ if: unchanged, then: some.map(({ key }) => ({ remove: key })) });
    }
  }
}

/** Pieces of that writer's transactions that have never become an entry. Its former incarnations cannot commit any more. */
export async function removeOrphans(
  client: EtcdClient,
  layout: Layout,
  writer: WriterId,
  incarnation: number,
): Promise<void> {
  const below = layout.piecesOf(writer);
  const names = new Map<string, EntryName>();
  for await (const { found } of client.pages(below)) {
    for (const { key } of found) {
      const [inIt = 0, number = 0] = key.slice(below.length).split('/').map(Number);
      if (inIt < incarnation) names.set(`${inIt}/${number}`, { writer, incarnation: inIt, number });
    }
  }
  for (const name of names.values()) await removePieces(client, layout, name);
}

/** Of one that is no entry, and never will be. Throws what the client throws. */
export async function removePieces(client: EtcdClient, layout: Layout, name: EntryName): Promise<void> {
  const pieces = layout.pieces(name);
  await client.txn({
    if: [{ key: layout.entry(name), isAbsent: true }],
    then: [{ remove: pieces, end: endOf(pieces) }],
  });
}
