/** The network of an instance: its engines reach each other there, and nobody else is on it. */
import { labelsOf, networkName, type Owner } from './naming.js';
import { answered, ifThere, statusOf, type Runtime } from './runtime.js';

export async function ensureNetwork({ docker }: Runtime, owner: Owner): Promise<string> {
  const name = networkName(owner);
  const found = await ifThere(docker.getNetwork(name).inspect());
  if (found !== undefined) return name;
  try {
    await answered(
      docker.createNetwork({ Name: name, CheckDuplicate: true, Labels: labelsOf(owner, 'network') }),
    );
  } catch (error) {
    // Somebody else has just made it.
    if (statusOf(error) !== 409) throw error;
  }
  return name;
}

/** Stays while an engine is on it. */
export async function removeNetwork({ docker }: Runtime, owner: Owner): Promise<void> {
  try {
    await ifThere(docker.getNetwork(networkName(owner)).remove());
  } catch (error) {
    if (statusOf(error) !== 403 && statusOf(error) !== 409) throw error;
  }
}
