/** The data directory of a standby of a container: received over the replication protocol, and unpacked here. */
import { chown, mkdir } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { x } from 'tar';
import { streamBaseBackup } from '../../base-backup-stream.js';
import type { EngineRecord } from '../../types.js';
import type { BackupOptions } from './base-backup.js';

/** Returns the position from which on a copy of this kind is consistent: as soon as it answers. */
export async function receiveBaseBackup(
  primary: EngineRecord,
  target: string,
  { label, user, signal, onProgress }: BackupOptions,
): Promise<string> {
  await mkdir(target, { mode: 0o700 });
  if (user !== null) await chown(target, user.uid, user.gid);
  onProgress?.({ step: 'backup' });
  await streamBaseBackup(primary, {
    label,
    signal,
    onProgress: (fraction) => onProgress?.({ step: 'copy', fraction }),
    consume: (archive) =>
      pipeline(
        archive,
        x({
          cwd: target,
          ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
        }),
      ),
  });
  return '0/0';
}
