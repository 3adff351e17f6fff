/** The network of an instance: its engines reach each other there, and nobody else is on it. */
import { labelsOf, networkName, onNetworkOf, type Owner } from './naming.js';
import { answered, ifThere, statusOf, type Runtime } from './runtime.js';

interface Known {
  readonly Id: string;
  readonly Name: string;
  readonly Created: string;
}

/** Being made, by name: engines that are made at the same time share one. */
const underway = new Map<string, Promise<string>>();

/** Its id: a name may be that of two, which the runtime then calls ambiguous. */
export function ensureNetwork(runtime: Runtime, owner: Owner): Promise<string> {
  const name = networkName(owner);
  const making = underway.get(name) ?? make(runtime, owner).finally(() => underway.delete(name));
  underway.set(name, making);
  return making;
}

async function make(runtime: Runtime, owner: Owner): Promise<string> {
  const name = networkName(owner);
  const [found] = await networksOf(runtime, name);
  if (found) return found.Id;
  try {
    await answered(
      runtime.docker.createNetwork({
        Name: name,
        CheckDuplicate: true,
        Labels: labelsOf(onNetworkOf(owner), 'network'),
      }),
    );
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
  // Another process may have made one in the same moment, which the runtime does not always see: the older one is everybody's.
  const [oldest, ...others] = await networksOf(runtime, name);
  if (!oldest) throw new Error(`network ${name} is gone again`);
  for (const { Id } of others) await removeOne(runtime, Id);
  return oldest.Id;
}

/** Those of that name, the oldest first. */
async function networksOf({ docker }: Runtime, name: string): Promise<Known[]> {
  const listed: readonly Known[] = await answered(docker.listNetworks({ filters: { name: [name] } }));
  return listed
    .filter(({ Name }) => Name === name)
    .toSorted((a, b) => a.Created.localeCompare(b.Created) || a.Id.localeCompare(b.Id));
}

/** Stays while an engine is on it. */
export async function removeNetwork(runtime: Runtime, owner: Owner): Promise<void> {
  for (const { Id } of await networksOf(runtime, networkName(owner))) await removeOne(runtime, Id);
}

async function removeOne({ docker }: Runtime, id: string): Promise<void> {
  try {
    await ifThere(docker.getNetwork(id).remove());
  } catch (error) {
    if (statusOf(error) !== 403 && statusOf(error) !== 409) throw error;
  }
}
