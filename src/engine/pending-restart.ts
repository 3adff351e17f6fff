/** A server's configuration while it runs: having it read again, and what of it waits for the server's next start. */
import { DbproxyError } from '../errors/index.js';
import { adminQuery, type AdminTarget } from './admin.js';
import type { PendingRestart } from './types.js';
import { waitFor } from './wait.js';

/** The postmaster reads its files when it is told to; on a busy machine it is told later. */
const RELOAD_BOUND_MS = 10_000;

/** Of the postmaster: a new connection inherits it. It stays as it was when the files cannot be used. */
const LOADED_AT = 'select extract(epoch from pg_conf_load_time())::text as at';

/** Resolves when connections made from now on have what the files say. Throws DBP_ENGINE_QUERY, with what is wrong in them. */
export async function reloadConfiguration(engine: AdminTarget): Promise<void> {
  const loadedAt = async (): Promise<string | undefined> =>
    (await adminQuery<{ at: string }>(engine, LOADED_AT))[0]?.at;
  const before = await loadedAt();
  await adminQuery(engine, 'select pg_reload_conf()');
  const loaded = await waitFor(async () => ((await loadedAt()) === before ? undefined : true), {
    boundMs: RELOAD_BOUND_MS,
  });
  if (loaded) return;
  const reason = (await wrongInFiles(engine)) ?? `it has not read them within ${RELOAD_BOUND_MS} ms`;
  throw new DbproxyError('DBP_ENGINE_QUERY', {
    engine: engine.id,
    reason: `its configuration files were not taken: ${reason}`,
  });
}

/** A setting that only waits for a start is an entry of that view, too. */
async function wrongInFiles(engine: AdminTarget): Promise<string | undefined> {
  const [first] = await adminQuery<{ what: string }>(
    engine,
    `select format('%s, line %s: %s', sourcefile, sourceline, error) as what from pg_file_settings f
     where error is not null
       and not exists (select from pg_settings s where s.name = f.name and s.context = 'postmaster')`,
  );
  return first?.what;
}

/**
 * Settings that a file changes and that the server takes at its start only. Those of the command line are never changed by a file,
 * whatever `pending_restart` says of them.
 */
const PENDING = `
  select name, current_setting(name) as current,
    coalesce((select setting from pg_file_settings f where f.name = s.name order by seqno desc limit 1), boot_val) as wanted
  from pg_settings s where pending_restart and source <> 'command line' order by name`;

/** Throws DBP_ENGINE_QUERY. */
export const pendingSettings = (engine: AdminTarget): Promise<PendingRestart[]> =>
  adminQuery<PendingRestart>(engine, PENDING);
