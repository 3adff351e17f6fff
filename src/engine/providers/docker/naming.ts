/**
 * What everything of an instance is called, and by which labels it is found again. They outlive every process of ours, so
 * they, not a watcher, are what makes cleaning up possible: testcontainers' Ryuk would remove the engines with the command that
 * made them.
 */
import { createHash } from 'node:crypto';

/** Whose containers, volumes and networks they are. */
export interface Owner {
  /** Of the instance. */
  readonly name: string;
  /** Of the instance; two homes may have an instance of the same name. */
  readonly directory: string;
  /** On whose network its engines are, where that is not its own: the engines of several writers are copies of each other. */
  readonly network?: Omit<Owner, 'network'> | undefined;
}

/** And where all instances keep what they share. */
export interface OwnerWithCache extends Owner {
  readonly cacheDirectory: string;
}

/** `engine`: a server; `data`: its volume; `network`; `probe`: looks into an image, and is gone at once. */
export type Role = 'engine' | 'data' | 'network' | 'probe';

export const LABEL = {
  instance: 'dbproxy.instance',
  directory: 'dbproxy.directory',
  role: 'dbproxy.role',
  engine: 'dbproxy.engine',
} as const;

export const labelsOf = (
  { name, directory }: Owner,
  role: Role,
  engine?: string,
): Record<string, string> => ({
  [LABEL.instance]: name,
  [LABEL.directory]: directory,
  [LABEL.role]: role,
  ...(engine === undefined ? {} : { [LABEL.engine]: engine }),
});

/** Everything of this owner, as a filter of the runtime's lists. */
export const ownedBy = ({ directory }: Owner): { label: string[] } => ({
  label: [`${LABEL.directory}=${directory}`],
});

/** Also the name by which engines reach each other on the instance's network. */
export const containerName = (owner: Owner, engine: string): string => `${nameOf(owner)}-${engine}`;
export const volumeName = containerName;

/** Who the network is called after. */
export const onNetworkOf = (owner: Owner): Owner => owner.network ?? owner;
export const networkName = (owner: Owner): string => nameOf(onNetworkOf(owner));

function nameOf({ name, directory }: Owner): string {
  const key = createHash('sha256').update(directory).digest('hex').slice(0, 8);
  return `dbproxy-${name}-${key}`;
}
