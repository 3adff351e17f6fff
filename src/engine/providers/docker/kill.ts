/** kill -9 of an engine in a container: what a crash of it looks like. */
import { answered, containerRuntime } from './runtime.js';

/** The container stays as it is, for whoever finds out why it ended. Throws DBP_ENV_DOCKER. */
export async function killContainer(name: string): Promise<void> {
  await answered((await containerRuntime()).docker.getContainer(name).kill());
}
