/**
 * Does the standby have everything? Asked in the currency of the engines: positions in the WAL, compared by the server.
 *
 * The position to reach is that of a message of our own in a committed transaction. `pg_current_wal_insert_lsn()` would not
 * do: it can lie behind a page header that nobody replays to, and with `synchronous_commit=off` the last commits of the
 * clients are not flushed yet, hence not sent. Our commit is flushed, and flushing is in order, so all before it is too.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineLink } from './engine-link.js';

/** A position in the WAL, as text (`0/3000148`); never compared as text. */
export type Lsn = string & { readonly brand: 'lsn' };

const POLL_MS = 1;
/** Small enough to be replayed within a few ms. */
const NEAR_BYTES = 256 * 1024;
const NEAR_POLL_MS = 10;

const EMIT_FENCE = {
  name: 'dbproxy_emit',
  text: `select pg_logical_emit_message(true, 'dbproxy', 'fence')::text`,
};
const IS_REPLAYED = {
  name: 'dbproxy_replayed',
  text: `select coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, not pg_is_in_recovery())`,
};
const FLUSHED = { name: 'dbproxy_flushed', text: `select pg_current_wal_flush_lsn()::text` };
const LAG_BYTES = {
  name: 'dbproxy_lag',
  text: `select pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn())::float8`,
};

/** Writes the fence message on the primary; the returned position is flushed there. */
export const emitFence = (primary: EngineLink): Promise<Lsn> => primary.value<Lsn>(EMIT_FENCE);

/** Polls until the standby has replayed up to `lsn`; false when the bound passes first. */
export async function waitUntilReplayed(standby: EngineLink, lsn: Lsn, boundMs: number): Promise<boolean> {
  const end = performance.now() + boundMs;
  while (!(await standby.value<boolean>(IS_REPLAYED, [lsn]))) {
    if (performance.now() > end) return false;
    await delay(POLL_MS);
  }
  return true;
}

/**
 * Before anybody is held: waits until the standby is so near that the rest takes milliseconds.
 * Returns the bytes it lags behind; more than a little when the bound passed first.
 */
export async function waitUntilNear(
  primary: EngineLink,
  standby: EngineLink,
  boundMs: number,
): Promise<{ near: boolean; lagBytes: number }> {
  const end = performance.now() + boundMs;
  for (;;) {
    const flushed = await primary.value<Lsn>(FLUSHED);
    const lagBytes = await standby.value<number>(LAG_BYTES, [flushed]);
    if (lagBytes <= NEAR_BYTES) return { near: true, lagBytes };
    if (performance.now() > end) return { near: false, lagBytes };
    await delay(NEAR_POLL_MS);
  }
}

/** Uses every query once, so that none is planned or finds a cold cache while clients are held. */
export async function rehearseCatchUp(primary: EngineLink, standby: EngineLink): Promise<void> {
  const lsn = await emitFence(primary);
  await standby.value<boolean>(IS_REPLAYED, [lsn]);
}
