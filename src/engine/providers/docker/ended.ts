/** How a container ended, for people. */
import type { Container } from './runtime.js';

export type ContainerFacts = Awaited<ReturnType<Container['inspect']>>;

const MIB = 1024 * 1024;

export function howItEnded({ State, HostConfig }: ContainerFacts): string {
  const { OOMKilled, ExitCode, Error: error } = State;
  if (OOMKilled) {
    const limit = Math.floor((HostConfig.Memory ?? 0) / MIB);
    return `killed by the kernel: out of memory (limit ${limit} MiB)`;
  }
  return error ? error : `exit code ${ExitCode}`;
}
