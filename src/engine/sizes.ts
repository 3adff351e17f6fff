/**
 * The sizes of an engine: what share of a machine each stands for, and the PostgreSQL settings that follow from it.
 *
 * The settings that a hot standby must not have smaller than its primary are no part of a size: they are equal
 * everywhere (providers/embedded/configuration.ts), else no engine could follow a bigger one.
 */
import { availableParallelism, totalmem } from 'node:os';
import type { SizeName } from './types.js';

const MIB = 1024 * 1024;

export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** What a size asks for. */
export const SIZES: Readonly<Record<SizeName, Machine>> = {
  small: { cpus: 1, memoryBytes: 512 * MIB },
  medium: { cpus: 2, memoryBytes: 1024 * MIB },
  large: { cpus: 4, memoryBytes: 2048 * MIB },
  xlarge: { cpus: 8, memoryBytes: 4096 * MIB },
};

/** The machine we run on; a memory limit of our control group counts. */
export function thisMachine(): Machine {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return {
    cpus: availableParallelism(),
    memoryBytes: constrained > 0 ? Math.min(constrained, total) : total,
  };
}

/** Has `to` nothing less than `from`? */
export const growsTo = (from: SizeName, to: SizeName): boolean =>
  SIZES[to].cpus >= SIZES[from].cpus && SIZES[to].memoryBytes >= SIZES[from].memoryBytes;

export interface CappedSize extends Machine {
  /** Null when the machine has all that the size asks for, else one sentence for people. */
  readonly capped: string | null;
}

/** What a size comes to on a machine. */
export function capSize(size: SizeName, machine: Machine = thisMachine()): CappedSize {
  const wanted = SIZES[size];
  const cpus = Math.min(wanted.cpus, machine.cpus);
  const memoryBytes = Math.min(wanted.memoryBytes, machine.memoryBytes);
  const missing = [
    cpus < wanted.cpus ? `${cpus} of ${wanted.cpus} cpus` : null,
    memoryBytes < wanted.memoryBytes ? `${inMib(memoryBytes)} of ${inMib(wanted.memoryBytes)} MiB` : null,
  ].filter((text) => text !== null);
  const capped =
    missing.length === 0 ? null : `size ${size} is capped at this machine: ${missing.join(', ')}`;
  return { cpus, memoryBytes, capped };
}

/**
 * The settings of a size. Shares of memory as the manual suggests ("Resource Consumption": a quarter for
 * shared_buffers; "Planner Cost Constants": what the kernel may cache on top of it for effective_cache_size).
 */
export function sizeSettings(size: SizeName, machine: Machine = thisMachine()): Record<string, string> {
  const { cpus, memoryBytes } = capSize(size, machine);
  const share = (divisor: number): string => `${Math.max(1, inMib(memoryBytes / divisor))}MB`;
  return {
    shared_buffers: share(4),
    effective_cache_size: share(4 / 3),
    maintenance_work_mem: share(8),
    work_mem: share(128),
    max_parallel_workers: String(cpus),
    // The leader works too: on one cpu a parallel plan only costs.
    max_parallel_workers_per_gather: String(Math.floor(cpus / 2)),
    max_parallel_maintenance_workers: String(Math.floor(cpus / 2)),
  };
}

function inMib(bytes: number): number {
  return Math.floor(bytes / MIB);
}
