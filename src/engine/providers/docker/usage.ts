/** CPU and memory of a container, as its control group counts them. */
import type { EngineUsage } from '../../types.js';
import { ifThere, type Container } from './runtime.js';

/** Remembers the last reading of each container, so that each call reports the time since the one before. */
export class UsageMeter {
  readonly #last = new Map<string, { readonly cpuMs: number; readonly atMs: number }>();

  /** Null when it does not run. The first call reports no CPU. */
  async usage(container: Container): Promise<EngineUsage | null> {
    const stats = await ifThere(container.stats({ stream: false, 'one-shot': true }));
    const used = stats?.memory_stats.usage;
    if (stats === undefined || used === undefined) {
      this.#last.delete(container.id);
      return null;
    }
    const reading = { cpuMs: stats.cpu_stats.cpu_usage.total_usage / 1e6, atMs: performance.now() };
    const last = this.#last.get(container.id);
    this.#last.set(container.id, reading);
    const cpuPercent =
      last === undefined || reading.atMs <= last.atMs
        ? 0
        : (Math.max(0, reading.cpuMs - last.cpuMs) / (reading.atMs - last.atMs)) * 100;
    // What the kernel would give back at once is nobody's: files that were read a while ago.
    const { inactive_file = 0, total_inactive_file = inactive_file } = stats.memory_stats.stats as {
      inactive_file?: number;
      total_inactive_file?: number;
    };
    return { cpuPercent, memoryBytes: Math.max(0, used - total_inactive_file) };
  }
}
