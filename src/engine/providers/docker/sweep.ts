/**
 * What carries our labels, whoever made it: whose it is, and its removal. For what a maker left that died in the middle of its
 * work, or an instance whose directory somebody has removed.
 */
import { removeContainer } from './container.js';
import { LABEL, ownedBy, type Owner } from './naming.js';
import { removeNetwork } from './network.js';
import { answered, containerRuntime, ifThere, type Runtime } from './runtime.js';

type Labels = Record<string, string> | undefined;

/** Engines of these ids stay. Says what went. */
export async function sweep(
  runtime: Runtime,
  owner: Owner,
  keep: readonly string[],
  what: 'containers' | 'all',
): Promise<string[]> {
  const { docker } = runtime;
  const filters = ownedBy(owner);
  const isKept = (labels: Labels): boolean => keep.includes(labels?.[LABEL.engine] ?? '');
  const gone: string[] = [];

  for (const { Id, Names, Labels } of await answered(docker.listContainers({ all: true, filters }))) {
    if (isKept(Labels)) continue;
    await removeContainer(docker.getContainer(Id));
    gone.push(`container ${Names[0]?.slice(1) ?? Id}`);
  }
  for (const { Name, Labels } of what === 'all' ? await volumes(runtime, filters) : []) {
    if (isKept(Labels)) continue;
    await ifThere(docker.getVolume(Name).remove());
    gone.push(`volume ${Name}`);
  }
  await removeNetwork(runtime, owner);
  return gone;
}

/** Everybody who has a container, a volume or a network here. Throws DBP_ENV_DOCKER. */
export async function containerOwners(): Promise<Owner[]> {
  const runtime = await containerRuntime();
  const filters = { label: [LABEL.directory] };
  const [containers, networks, data] = await Promise.all([
    answered(runtime.docker.listContainers({ all: true, filters })),
    answered(runtime.docker.listNetworks({ filters })),
    volumes(runtime, filters),
  ]);
  const owners = [...containers, ...networks, ...data].map(
    ({ Labels }: { Labels?: Labels | null }): Owner => ({
      name: Labels?.[LABEL.instance] ?? '',
      directory: Labels?.[LABEL.directory] ?? '',
    }),
  );
  return [...new Map(owners.map((owner) => [owner.directory, owner])).values()];
}

async function volumes(
  { docker }: Runtime,
  filters: { label: string[] },
): Promise<{ Name: string; Labels: Labels }[]> {
  return (await answered(docker.listVolumes({ filters }))).Volumes ?? [];
}
