/**
 * Copies the data directory of a running primary ("Making a Base Backup Using the Low Level API"). The package has no
 * pg_basebackup; on one machine copying files is faster anyway.
 */
import { chown, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withAdmin } from '../../admin.js';
import type { EngineProgress, EngineRecord } from '../../types.js';
import { copyAll } from './copy-files.js';
import { writeOwned } from './initdb.js';
import { dataDirectoryOf } from './paths.js';
import type { ServerUser } from './server-user.js';

/** The checkpoint at the start of a backup writes out whatever is dirty. */
const CHECKPOINT_BOUND_MS = 300_000;

/** Not copied at all: of the running server, or of this primary alone. */
const LEFT_OUT =
  /^(postmaster\.(pid|opts)|backup_label.*|tablespace_map.*|backup_manifest|(standby|recovery)\.signal|pgsql_tmp.*)$/;

/** Directories that must exist but whose contents mean nothing to a copy (same section of the manual). */
const LEFT_EMPTY = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
]);

export interface BackupOptions {
  readonly label: string;
  readonly user: ServerUser | null;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: EngineProgress) => void) | undefined;
}

export interface BaseBackup {
  /** A copy is consistent once it has replayed WAL up to here. */
  readonly stopLsn: string;
}

/**
 * Fills `target` with a copy of the primary's data directory, with its backup_label. Start and stop of the backup are on
 * one connection; whatever goes wrong, the end of that connection ends the backup on the primary.
 */
export async function takeBaseBackup(
  primary: EngineRecord,
  target: string,
  { label, user, signal, onProgress }: BackupOptions,
): Promise<BaseBackup> {
  return withAdmin(
    primary,
    async (query) => {
      onProgress?.({ step: 'backup' });
      await query('select pg_backup_start($1, true)', [label]);
      onProgress?.({ step: 'copy' });
      await copyData(dataDirectoryOf(primary), target, user, signal);
      const [stop] = await query<{ lsn: string; labelfile: string; spcmapfile: string }>(
        'select lsn::text, labelfile, spcmapfile from pg_backup_stop(false)',
      );
      if (stop === undefined) throw new Error('pg_backup_stop returned nothing');
      if (stop.spcmapfile.trim() !== '')
        throw new Error('the primary has got a tablespace of its own meanwhile');
      await writeOwned(join(target, 'backup_label'), stop.labelfile, user);
      return { stopLsn: stop.lsn };
    },
    { timeoutMs: CHECKPOINT_BOUND_MS },
  );
}

async function copyData(
  from: string,
  to: string,
  user: ServerUser | null,
  signal?: AbortSignal,
): Promise<void> {
  const entries = (await readdir(from)).filter((name) => !LEFT_OUT.test(name));
  const databases = (await readdir(join(from, 'base'))).filter((name) => !LEFT_OUT.test(name));
  for (const name of ['', 'base', ...LEFT_EMPTY]) await makeOwnedDirectory(join(to, name), user);

  const whole = entries.filter((name) => name !== 'base' && !LEFT_EMPTY.has(name));
  await copyAll(databases, join(from, 'base'), join(to, 'base'), { user, signal });
  await copyAll(whole, from, to, { user, signal });
  await writeOwned(join(to, 'global/pg_control'), await readControlFile(from), user);
}

async function makeOwnedDirectory(path: string, user: ServerUser | null): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  if (user !== null) await chown(path, user.uid, user.gid);
}

/** The server writes the control file while we read it, without a lock that we could take: two equal readings are whole. */
async function readControlFile(dataDirectory: string): Promise<Buffer> {
  const path = join(dataDirectory, 'global/pg_control');
  for (let attempt = 0; attempt < 10; attempt++) {
    const [first, second] = [await readFile(path), await readFile(path)];
    if (first.equals(second)) return first;
  }
  throw new Error('the control file of the primary changed all the time while it was read');
}
