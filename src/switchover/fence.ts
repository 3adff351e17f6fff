/**
 * The fence: nobody but us can write on the old primary any more.
 *
 * With every proxied session held, what is left are strays: backends on the private socket that are not the proxy's. They
 * are ended before the position to catch up with is taken. Read-only mode is set only after the proxy's `commit`: until
 * then the hold can run out at any moment (also because we died), the sessions go on, and none of them may find a read-only
 * server. After `commit` no session returns there, so that the setting needs no undoing in any ordinary roll-back.
 *
 * Rejected: pg_hba changes (a reload too, and it keeps nobody out who is in); shutting the old primary down (a checkpoint
 * in the stall).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN_APPLICATION_NAME } from '../engine/index.js';
import type { SessionSnapshot } from '../proxy/control-api.js';
import type { EngineLink } from './engine-link.js';

const TERMINATE_POLL_MS = 1;

const STRAYS = {
  name: 'dbproxy_strays',
  text: `select pid from pg_stat_activity
          where backend_type = 'client backend' and pid <> pg_backend_pid()
            and application_name <> '${ADMIN_APPLICATION_NAME}' and pid <> all ($1::int[])`,
};
const TERMINATE = {
  name: 'dbproxy_terminate',
  text: `select pg_terminate_backend(pid) from unnest($1::int[]) as pid`,
};
const STILL_THERE = {
  name: 'dbproxy_still_there',
  text: `select count(*)::int from pg_stat_activity where pid = any ($1::int[])`,
};
const READ_ONLY = { name: '', text: `alter system set default_transaction_read_only = on` };
const WRITABLE = { name: '', text: `alter system reset default_transaction_read_only` };
const RELOAD = { name: 'dbproxy_reload', text: `select pg_reload_conf()` };

/** Client backends that are neither ours nor the proxy's. */
export async function findStrays(
  primary: EngineLink,
  sessions: readonly SessionSnapshot[],
): Promise<number[]> {
  const rows = await primary.query<{ pid: number }>(STRAYS, [sessions.map(({ backendPid }) => backendPid)]);
  return rows.map(({ pid }) => pid);
}

/** Ends these backends; false when one is still there at the end of the bound. */
export async function terminateStrays(
  primary: EngineLink,
  pids: number[],
  boundMs: number,
): Promise<boolean> {
  const end = performance.now() + boundMs;
  await primary.query(TERMINATE, [pids]);
  while ((await primary.value<number>(STILL_THERE, [pids])) > 0) {
    if (performance.now() > end) return false;
    await delay(TERMINATE_POLL_MS);
  }
  return true;
}

/** However the old primary is started again, new transactions can only read. To be called after `commit`. */
export async function setReadOnly(primary: EngineLink): Promise<void> {
  await primary.query(READ_ONLY);
}

/**
 * Makes `setReadOnly` hold for who comes now. Every process of the server reads its whole configuration then, a millisecond
 * of CPU each: to be called when the sessions have left.
 */
export async function enforceReadOnly(primary: EngineLink): Promise<void> {
  await primary.query(RELOAD);
}

/** Undoes `setReadOnly`, for the one case in which a committed switchover cannot be promoted. */
export async function setWritable(primary: EngineLink): Promise<void> {
  await primary.query(WRITABLE);
  await primary.query(RELOAD);
}
