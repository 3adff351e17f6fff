/** Small tar archives, in memory: the form in which the runtime takes files into a container. */
import { Header } from 'tar';

const BLOCK_BYTES = 512;
/** Two blocks of zeros. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_BYTES);

export interface TarEntry {
  /** Without a leading slash; that of a directory ends with one. */
  readonly path: string;
  readonly mode: number;
  readonly content?: string;
}

export const tarOf = (entries: readonly TarEntry[]): Buffer =>
  Buffer.concat([...entries.flatMap(entryBlocks), END_OF_ARCHIVE]);

function entryBlocks({ path, mode, content = '' }: TarEntry): Buffer[] {
  const body = Buffer.from(content);
  const type = path.endsWith('/') ? 'Directory' : 'File';
  const header = new Header({ path, mode, type, size: body.length, mtime: new Date(), uid: 0, gid: 0 });
  const block = Buffer.alloc(BLOCK_BYTES);
  header.encode(block);
  return [block, body, Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES)];
}

/** The content of the only file in an archive that the runtime gave. */
export function fileOf(archive: Buffer): string {
  const { size = 0 } = new Header(archive);
  return archive.toString('utf8', BLOCK_BYTES, BLOCK_BYTES + size);
}
