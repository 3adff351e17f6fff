/**
 * Under the hold everybody's temporary objects are to be looked at once more, because others can have changed what they need. To plan
 * the question for their mark takes a backend longer than to answer it: so one asks for all sessions of a database. Catalogs are
 * everybody's to read, and tell no less of the schemas of others.
 */
import { encode } from '../protocol/index.js';
import type { StateChannel } from './channel.js';
import { AS_LOGIN_USER, NO_TRANSACTION_TIMEOUT } from './exact.js';
import { kindNames, kinds, type SessionState } from './kinds.js';
import { arrayLiteral, literal, type StateKindModule } from './kind.js';
import { markOf } from './temp-definitions.js';

/** Bound of waiting for a lock on a catalog, ms. */
const LOCK_TIMEOUT_MS = 100;
const MARK = markOf('n.oid');

export interface TempMarks {
  readonly bySchema: ReadonlyMap<string, string>;
  /** Of the cluster. */
  readonly snapshot: string;
}

/** The mark of its temporary objects tells all that others can have changed; `pid`: of its backend, which it was read from. */
export const isToldByMark = (state: SessionState, pid: number): boolean =>
  state.tempObjects.definitions !== null &&
  state.tempObjects.snapshot.startsWith(`${pid} `) &&
  kindNames.every(
    (kind) =>
      kind === 'tempObjects' ||
      (kinds[kind] as StateKindModule<unknown>).othersCanChange?.(state[kind]) !== true,
  );

/** Of the schemas with those oids, on any backend of their database. Throws when it cannot be told. */
export const readTempMarks = async (
  channel: StateChannel,
  schemas: readonly string[],
): Promise<TempMarks> => {
  const sql = `begin isolation level read committed not deferrable; ${AS_LOGIN_USER}; set local statement_timeout = 0;
    set local lock_timeout = ${LOCK_TIMEOUT_MS};
    select ${NO_TRANSACTION_TIMEOUT};
    select n.oid, ${MARK}, pg_catalog.pg_current_snapshot() from pg_catalog.unnest(${literal(arrayLiteral(schemas))}::pg_catalog.oid[]) n (oid);
    rollback`;
  const [reply] = await channel.exchange(encode.query(sql), 1);
  if (reply?.error) {
    if (reply.status !== 'I') await channel.exchange(encode.query('rollback'), 1);
    throw new Error(reply.error.message);
  }
  const rows = reply?.sets.at(-1) ?? [];
  return {
    bySchema: new Map(rows.map(([schema, mark]) => [schema ?? '', mark ?? ''])),
    snapshot: rows[0]?.[2] ?? '',
  };
};

/** Nothing but the snapshot has changed: what was brought over for the one is what the other wants. */
export const isOnlyConfirmed = (before: SessionState, now: SessionState): boolean =>
  kindNames.every((kind) =>
    kind === 'tempObjects'
      ? before.tempObjects.definitions === now.tempObjects.definitions &&
        before.tempObjects.onCommit === now.tempObjects.onCommit &&
        before.tempObjects.contents === now.tempObjects.contents
      : before[kind] === now[kind],
  );

/** The state, if it is still what it was, with the snapshot of when that was found; null: it has to be read. */
export const confirmed = (state: SessionState, { bySchema, snapshot }: TempMarks): SessionState | null => {
  const { schema, mark } = state.tempObjects;
  if (bySchema.get(schema) !== mark) return null;
  const [pid = ''] = state.tempObjects.snapshot.split(' ');
  return { ...state, tempObjects: { ...state.tempObjects, snapshot: `${pid} ${snapshot}` } };
};
