/** A transaction as it is kept: in one value, or in pieces, where it is too large for a request (etcd's default is 1.5 MiB). */
import { NO_LSN, type Lsn, type Proposal } from '../protocol/index.js';
import type { EtcdClient, KeyValue, Operation } from './client.js';
import type { EntryName, Layout } from './layout.js';

const PIECE_BYTES = 512 * 1024;
/** Pieces that are asked for at once, in a request each: some gateways take no answer above 4 MiB. */
const TOGETHER = 8;

type Kept = Pick<Proposal, 'base' | 'keys' | 'payload' | 'retries' | 'priority'>;

/** The value of its entry; the pieces come first, if there are any. */
export function encodeEntry(
  layout: Layout,
  name: EntryName,
  { base, keys, payload, retries, priority }: Kept,
): {
  readonly value: Buffer;
  readonly pieces: readonly Operation[];
} {
  const kept: Kept = { base, keys, payload, retries, priority };
  const value = Buffer.from(JSON.stringify(kept));
  if (value.length <= PIECE_BYTES) return { value, pieces: [] };
  const pieces: Operation[] = [];
  for (let from = 0; from < value.length; from += PIECE_BYTES) {
    pieces.push({ put: layout.piece(name, pieces.length), value: value.subarray(from, from + PIECE_BYTES) });
  }
  return { value: Buffer.from(JSON.stringify({ pieces: pieces.length })), pieces };
}

/** Throws what the client throws; an error where a piece is missing. */
export async function decodeEntry(
  client: EtcdClient,
  layout: Layout,
  name: EntryName,
  at: Lsn,
  { value }: KeyValue,
): Promise<Proposal> {
  const found = JSON.parse(value.toString('utf8')) as Kept | { readonly pieces: number };
  const kept = 'pieces' in found ? await readPieces(client, layout, name, found.pieces) : found;
  return { ...kept, lsn: at, previous: NO_LSN, incarnation: name.incarnation };
}

async function readPieces(client: EtcdClient, layout: Layout, name: EntryName, count: number): Promise<Kept> {
  const pieces: Buffer[] = [];
  while (pieces.length < count) {
    const some = Array.from({ length: Math.min(TOGETHER, count - pieces.length) }, (_, index) =>
      client.get(layout.piece(name, pieces.length + index)),
    );
    for (const { found } of await Promise.all(some)) {
      const [piece] = found;
      if (!piece) throw new Error(`a piece of ${layout.entry(name)} is missing`);
      pieces.push(piece.value);
    }
  }
  return JSON.parse(Buffer.concat(pieces).toString('utf8')) as Kept;
}
