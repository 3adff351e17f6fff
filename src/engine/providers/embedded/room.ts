/**
 * Is there room for a copy of an engine? Asked before the first byte of it is written: a copy that runs out of room has taken it from
 * its primary too, which is on the same disk, dies when it cannot write its WAL, and takes its clients' connections with it.
 */
import { statfs } from 'node:fs/promises';
import { diskFull } from '../../../errors/no-room.js';
import { adminQuery } from '../../admin.js';
import type { EngineRecord } from '../../types.js';

/** Catalogs that all databases share, the WAL of a standby that begins, and what clients write meanwhile. */
const BESIDE_BYTES = 32 * 1024 * 1024;
/** `f_type` of statfs(2): file systems where a copy shares its blocks with the original (`cp --reflink`). */
const SHARES_BLOCKS = new Set([0x9123683e /* btrfs */, 0x58465342 /* xfs */]);

/** Throws DBP_ENV_DISK_FULL. */
export async function assertRoomFor(primary: EngineRecord, { directory }: EngineRecord): Promise<void> {
  const { type, bavail, bsize } = await statfs(directory);
  if (SHARES_BLOCKS.has(type)) return;
  const [row] = await adminQuery<{ bytes: string }>(
    primary,
    'select sum(pg_database_size(oid))::text as bytes from pg_database',
  );
  const [needed, there] = [Number(row?.bytes ?? 0) + BESIDE_BYTES, bavail * bsize];
  if (needed <= there) return;
  throw diskFull(
    directory,
    `a copy of ${primary.id} needs ${megabytes(needed)}, ${megabytes(there)} are free`,
  );
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1024 / 1024)} MB`;
