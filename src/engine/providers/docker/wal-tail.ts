/**
 * The WAL of a server whose container is gone: files of its volume, which a container that is never started shows. The runtime lists no
 * directory, so all segments come by, and one at a time is looked at.
 */
import { basename } from 'node:path';
import { Parser, type ReadEntry } from 'tar';
import { bytesBetween, endOfSegment, isSegment } from '../../wal-tail.js';
import type { EngineRecord } from '../../types.js';
import { DATA, removeContainer, VOLUME } from './container.js';
import { labelsOf, volumeName, type Owner } from './naming.js';
import { answered, type Container, type Runtime } from './runtime.js';

/** Some hundred segments of 1 MB. */
const READ_BOUND_MS = 60_000;

/** Bytes behind `position` (`0/3000148`); 0: it has nothing that comes after it. Null: there is no WAL to be read. */
export async function walAfter(
  { docker }: Runtime,
  owner: Owner,
  { id, container: former }: EngineRecord,
  position: string,
): Promise<number | null> {
  if (!former) return null;
  const container = await answered(
    docker.createContainer({
      ...{ Image: former.imageId, Cmd: ['true'], Labels: labelsOf(owner, 'probe') },
      HostConfig: {
        NetworkMode: 'none',
        Mounts: [{ Type: 'volume', Source: volumeName(owner, id), Target: VOLUME, ReadOnly: true }],
      },
    }),
  );
  try {
    const end = await answered(endOfWal(container), READ_BOUND_MS);
    return end === null ? null : bytesBetween(position, end);
  } finally {
    await removeContainer(container);
  }
}

async function endOfWal(container: Container): Promise<bigint | null> {
  let last = { name: '', end: null as bigint | null };
  const look = (entry: ReadEntry): void => {
    const name = basename(entry.path);
    if (!isSegment(name) || name < last.name) return entry.resume();
    const chunks: Buffer[] = [];
    entry.on('data', (chunk) => chunks.push(chunk));
    entry.on('end', () => {
      const end = endOfSegment(name, Buffer.concat(chunks));
      if (end !== null && name > last.name) last = { name, end };
    });
  };
  const archive = await container.getArchive({ path: `${DATA}/pg_wal` });
  await new Promise<void>((resolve, reject) => {
    const parser = new Parser({ onReadEntry: look });
    parser.on('end', () => resolve()).on('error', reject);
    archive.on('error', reject);
    archive.pipe(parser);
  });
  return last.end;
}
